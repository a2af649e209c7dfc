"""A packet: a file that says a whole run, and is carried out or refused.

Owns its form, what it may not say, and turning it into a request. Does not own the checks that every request passes
(`dispatch.desk`), nor the run.
Invariant: a packet never widens: its folder lies below the caller's, every path in it below that folder, and no link
is on the way; it names no program but by its words, and no variable that could change what a program does or holds a
secret. Whatever it may not say is refused before anything is paid, by its name and never by its value.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec

from armarius.budget import NO_BUDGET, Budget
from armarius.codex.home import read_login
from armarius.dispatch.api import Dispatch
from armarius.dispatch.desk import Options
from armarius.errors import DataError, HostError, Refused
from armarius.files import read_bounded
from armarius.identity import hash_bytes
from armarius.proof.contained import folder_below, inside, read_below, write_below
from armarius.proof.required import checked
from armarius.redact import redact
from armarius.runs.answer import check_schema
from armarius.runs.receipts import RECEIPT
from armarius.runs.request import RunRequest, RunResult
from armarius.sharing.wish import Sharing
from armarius.thread import Sandbox

__all__ = ["Packet", "check_environment", "deliver", "read_packet", "request_of"]

_LARGEST = 1 << 20
_LARGEST_PROMPT = 16 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_FORBIDDEN = re.compile(
    # what may hold a secret
    r".*(?:TOKEN|SECRET|PASSW|CREDENTIAL|COOKIE|APIKEY).*|(?:.*_)?KEYS?(?:_.*)?"
    # whole families that say what is run, billed or trusted
    r"|(?:LD|DYLD|GIT|CODEX|OPENAI|ARMARIUS|BASH|NODE|NPM|PIP|UV|CARGO|DOCKER|AWS|AZURE|GCP|GOOGLE|ANTHROPIC|SSH|GPG"
    r"|GLIBC|MALLOC|XDG|DBUS|CURL|REQUESTS|SSL)_.*|(?:PYTHON|PERL|RUBY|JAVA|JDK|LUA|RUSTC?|GO|PHP|LESS).*"
    r"|(?:HTTPS?|ALL|NO|FTP|SOCKS)_PROXY|.*_CA_.*|.*PRELOAD.*|.*OPTIONS|.*OPTS|.*FLAGS|.*PATH|.*PAGER|.*SHELL"
    # and those that a shell or a tool reads by their own names
    r"|HOME|TMP|TEMP|TMPDIR|IFS|ENV|PS[0-9]|PROMPT_COMMAND|EDITOR|VISUAL|BROWSER|USER|LOGNAME|CC|CXX|HOSTALIASES"
    r"|TERMINFO.*|CUDA_VISIBLE_DEVICES|_.*",
    re.IGNORECASE,
)
"""Variables that no packet may set. A name too many costs a line in a script; one too few is somebody's account."""

_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$(?!\n)")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
_Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]


class _Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whatever is not a field is refused."""


class Auth(_Closed, frozen=True, kw_only=True):
    """Which login it has to be: nothing else is billed. `lane` is one of `armarius lanes`."""

    required_mode: Literal["chatgpt", "api_key", "any"] = "chatgpt"
    lane: str | None = None


class Command(_Closed, frozen=True, kw_only=True):
    """A required command, as words: no shell reads them."""

    argv: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=1_000)]
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 600


class Evidence(_Closed, frozen=True, kw_only=True):
    """What has to be there afterwards: commands that succeed, and files below the folder, which are kept."""

    required_commands: Annotated[tuple[Command, ...], msgspec.Meta(max_length=50)] = ()
    artifacts: Annotated[tuple[_Path, ...], msgspec.Meta(max_length=100)] = ()


class Output(_Closed, frozen=True, kw_only=True):
    """Files below the folder that are made when the run is over; none of them may be there before."""

    last_message_path: _Path | None = None
    events_path: _Path | None = None
    receipt_path: _Path | None = None


class Resume(_Closed, frozen=True, kw_only=True):
    """Whether it goes on in an earlier thread, which is named: the last one in a folder would be a guess."""

    policy: Literal["none", "session-id"] = "none"
    session_id: _Id | None = None


class Packet(_Closed, frozen=True, kw_only=True):
    """A run, whole (`armarius.packet.v1`).

    Paths are below `cwd`, which is below the folder of whoever carries it out. `allowed_paths` are patterns of what
    may change, from the repository's top; a change elsewhere fails the run. An `explorer` only reads. The prompt is
    `prompt` or the content of `prompt_path`; `stop_condition` goes with it.
    """

    schema: Literal["armarius.packet.v1"]
    packet_id: _Id
    role: Literal["worker", "explorer"] = "worker"
    cwd: _Path = "."
    allowed_paths: Annotated[tuple[_Path, ...], msgspec.Meta(max_length=1_000)] = ()
    sandbox: Literal["read-only", "workspace-write"] = "read-only"
    auth: Auth = Auth()
    prompt: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    prompt_path: _Path | None = None
    output_schema: dict[str, Any] | None = None
    output_schema_path: _Path | None = None
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=604_800)] | None = None
    environment: dict[str, str] = {}
    evidence: Evidence = Evidence()
    output: Output = Output()
    resume: Resume = Resume()
    stop_condition: _Text | None = None
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    effort: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | None = None
    budget: Budget = NO_BUDGET
    checkout: bool = False
    needs: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()


def read_packet(path: Path) -> tuple[Packet, str]:
    """The packet in a file, and the hash of the file; DataError for what is none, Refused for what it may not say."""
    data = read_bounded(path, _LARGEST)
    try:
        packet = msgspec.json.decode(data, type=Packet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The words of the error hold names and places, and never a value.
        raise DataError("packet", f"{path}: {error}", "see `armarius schema packet`") from error
    if (packet.prompt is None) == (packet.prompt_path is None):
        raise DataError("packet", f"{path}: a packet has either prompt or prompt_path", "say one of them")
    if packet.output_schema is not None and packet.output_schema_path is not None:
        raise DataError("packet", f"{path}: output_schema and output_schema_path exclude each other", "say one")
    if (packet.resume.policy == "session-id") != (packet.resume.session_id is not None):
        raise DataError("packet", f"{path}: resume: session-id and a session_id go together", "say both, or neither")
    if packet.role == "explorer" and packet.sandbox != Sandbox.READ_ONLY.flag:
        raise Refused("packet-role", f"{path}: an explorer only reads", "make it a worker, or its sandbox read-only")
    check_environment(packet.environment)
    return packet, hash_bytes(data)


def check_environment(environment: dict[str, str]) -> None:
    """Refuse variables that hold a secret or change what a program does: by name, never by value."""
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            raise Refused("packet-environment", f"environment: {name[:80]!a} is no name of a variable", "leave it out")
        if _FORBIDDEN.fullmatch(name):
            why = f"environment: {name} may hold a secret or change what programs do"
            raise Refused("packet-environment", why, "leave it out; logins belong in `armarius lanes`")
        if "\0" in value or redact(value) != value:
            raise Refused("packet-environment", f"environment: {name} holds what looks like a secret", "leave it out")


def request_of(dispatch: Dispatch, packet: Packet, packet_hash: str, root: Path) -> RunRequest:
    """What the packet asks for, below `root`; everything that may be refused is refused here."""
    cwd = folder_below(packet.cwd, root, field="cwd")
    for field, name in _outputs(packet):
        inside(name, cwd, field=field)
        if cwd.joinpath(*inside(name, cwd, field=field)).exists():
            raise Refused("path-taken", f"{field}: {name} is there already", "name a file that is not")
    for name in packet.evidence.artifacts:
        inside(name, cwd, field="evidence.artifacts")
    options = Options(
        cwd=cwd,
        sandbox=packet.sandbox,
        model=packet.model,
        effort=packet.effort,
        lane=packet.auth.lane,
        schema=_schema(packet, cwd),
        timeout=packet.timeout_seconds,
        budget=packet.budget,
        sharing=Sharing(checkout=packet.checkout, scope=packet.allowed_paths, needs=packet.needs),
        require=tuple(shlex.join(command.argv) for command in packet.evidence.required_commands),
    )
    prompt = _prompt(packet, cwd)
    if packet.resume.session_id is None:
        request = dispatch.request(prompt, options)
    else:
        request = dispatch.resume_request(packet.resume.session_id, prompt, options)
    _check_login(packet, Path(request.codex_home))
    search_path = dispatch.settings.search_path
    commands = packet.evidence.required_commands
    return msgspec.structs.replace(
        request,
        required=tuple(checked(one.argv, search_path, cwd, one.timeout_seconds) for one in commands),
        packet=packet_hash,
        stop_condition=packet.stop_condition,
        environment=packet.environment,
        evidence=packet.evidence.artifacts,
        may_move=False,
    )


def deliver(packet: Packet, root: Path, result: RunResult) -> None:
    """Make the files that the packet asked for."""
    cwd, folder = folder_below(packet.cwd, root, field="cwd"), Path(result.folder)
    for field, name in _outputs(packet):
        if field == "output.last_message_path":
            data = None if result.answer is None else result.answer.encode()
        else:
            kept = folder / (RECEIPT if field == "output.receipt_path" else "events.jsonl")
            data = kept.read_bytes() if kept.exists() else None
        if data is not None:
            write_below(name, cwd, data, field=field)


def _outputs(packet: Packet) -> list[tuple[str, str]]:
    named = {f"output.{field}": getattr(packet.output, field) for field in Output.__struct_fields__}
    return [(field, name) for field, name in named.items() if name is not None]


def _prompt(packet: Packet, cwd: Path) -> str:
    prompt = packet.prompt
    if packet.prompt_path is not None:
        data = read_below(packet.prompt_path, cwd, _LARGEST_PROMPT, field="prompt_path")
        try:
            prompt = data.decode()
        except UnicodeDecodeError as error:
            where = f"prompt_path: byte {error.start} is not UTF-8"
            raise DataError("packet", where, "write the prompt in UTF-8") from error
    stop = "" if packet.stop_condition is None else f"\n\nStop when: {packet.stop_condition}"
    return f"{prompt or ''}{stop}"


def _schema(packet: Packet, cwd: Path) -> dict[str, Any] | None:
    schema: Any = packet.output_schema
    if packet.output_schema_path is not None:
        try:
            schema = json.loads(read_below(packet.output_schema_path, cwd, _LARGEST, field="output_schema_path"))
        except (ValueError, RecursionError) as error:
            raise DataError("packet", f"output_schema_path: {error}", "correct the JSON") from error
        if not isinstance(schema, dict):
            raise DataError("packet", "output_schema_path: a schema is a JSON object", "wrap it in an object")
    return None if schema is None else check_schema(cast("dict[str, Any]", schema), "output_schema")


def _check_login(packet: Packet, codex_home: Path) -> None:
    wanted = packet.auth.required_mode
    mode = read_login(codex_home).mode
    if wanted not in ("any", mode):
        raise HostError("packet-login", f"auth: the login is {mode}, and the packet needs {wanted}", "name its lane")
