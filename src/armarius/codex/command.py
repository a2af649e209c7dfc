"""A typed request as the argv, environment and prompt of one `codex exec`.

Owns every flag and configuration key that is passed to codex. Does not own starting it.
Invariant: sandbox, approval, network, writable roots and directory are stated on every attempt,
never left to configuration or trust, also where an earlier thread goes on, which inherits nothing;
the environment is built from an allow-list; the prompt goes through standard input, so it can never
be read as a flag and does not show in a process list; what the provider needs (its key) reaches
codex and never the commands that codex runs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import tomli_w

from armarius.codex.binary import Binary
from armarius.thread import Sandbox

__all__ = [
    "ALLOWED_ENVIRON",
    "Approval",
    "ConfigValue",
    "ExecRequest",
    "Fork",
    "Origin",
    "Resume",
    "Review",
    "allowed_environ",
    "argv_of",
    "environ_of",
    "overrides_of",
    "toml_value",
]

ConfigValue: TypeAlias = bool | int | str | list[str]
_Stated: TypeAlias = ConfigValue | dict[str, str] | dict[str, dict[str, str]]

Approval: TypeAlias = Literal["never", "on-request"]
"""Whether a person is asked for what the sandbox forbids."""

ALLOWED_ENVIRON = (
    "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM",
    "CODEX_HOME", "CODEX_SQLITE_HOME",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""What of the owner's environment reaches codex, besides `LC_*`. No key, no loader variable."""

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
_EXEMPT = ("NO_PROXY", "no_proxy")
_THIS_MACHINE = "127.0.0.1,::1,localhost"


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """A further turn of a thread."""

    thread_id: str


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """A new thread that begins with another one's history; without a prompt nothing is asked of it yet."""

    thread_id: str


class Review(msgspec.Struct, frozen=True, tag="review"):
    """Codex's own review of changes: of what is not committed, against `base`, of one commit, or as the prompt says."""

    uncommitted: bool = False
    base: str | None = None
    commit: str | None = None


Origin: TypeAlias = Resume | Fork | Review


class ExecRequest(msgspec.Struct, frozen=True):
    """One `codex exec`. Paths are absolute; `tools_path` is the PATH its commands see.

    `origin` is None for a new thread. `add_dirs` may be written to besides `cwd`. `config` are further
    keys, which whoever fills them in has found harmless (`armarius.codex.overrides`).
    `extra_environ` holds what the owner's own configuration names (a provider's key variable).
    `tools_environ` is what its commands find in their environment besides, `hidden` names that Codex has from
    elsewhere and its commands shall not.
    `approval` is "never" for `codex exec`, which asks nobody.
    With `network` the commands of a workspace-write run may reach other machines.
    `untrusted` are projects whose own configuration Codex leaves alone (`armarius.codex.project_trust`).
    `lean` switches off what a replay does not need: plugins, analytics, endless reconnection.
    """

    prompt: str
    cwd: str
    sandbox: Sandbox
    tools_path: str
    model: str | None = None
    effort: str | None = None
    schema_file: str | None = None
    ephemeral: bool = False
    lean: bool = False
    thread_source: str | None = None
    extra_environ: dict[str, str] = {}
    origin: Origin | None = None
    service_tier: str | None = None
    profile: str | None = None
    images: tuple[str, ...] = ()
    add_dirs: tuple[str, ...] = ()
    config: dict[str, ConfigValue] = {}
    approval: Approval = "never"
    tools_environ: dict[str, str] = {}
    network: bool = False
    untrusted: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


def argv_of(request: ExecRequest, binary: Binary) -> tuple[str, ...]:
    """The whole command line; a value is one word with its flag, so that none can be read as another flag."""
    # A rule that allows a command, the owner's or a trusted project's, lets it run outside the sandbox.
    argv = [binary.path, "exec", "--json", "--color=never", "--skip-git-repo-check", "--ignore-rules"]
    argv += [f"--sandbox={request.sandbox.flag}", f"--cd={request.cwd}"]
    if request.model is not None:
        argv += [f"--model={request.model}"]
    if request.schema_file is not None:
        argv += [f"--output-schema={request.schema_file}"]
    if request.ephemeral:
        argv += ["--ephemeral"]
    if request.thread_source is not None:
        argv += [f"--thread-source={request.thread_source}"]
    if request.profile is not None:
        argv += [f"--profile={request.profile}"]
    argv += [f"--image={image}" for image in request.images]
    argv += [f"--config={key}={toml_value(value)}" for key, value in overrides_of(request).items()]
    # The commands below `exec` know few of these flags, and take them all when they stand before them.
    return (*argv, *_words_of(request))


def _words_of(request: ExecRequest) -> tuple[str, ...]:
    """What follows the flags: the command below `exec`, and where the prompt is."""
    prompt = ("-",) if request.prompt else ()
    match request.origin:
        case None:
            return ("-",)
        case Resume(thread_id):
            return ("resume", "--", thread_id, "-")
        case Fork(thread_id):
            return ("fork", "--", thread_id, *prompt)
        case Review(uncommitted=True):
            return ("review", "--uncommitted")
        case Review(base=str(base)):
            return ("review", f"--base={base}")
        case Review(commit=str(commit)):
            return ("review", f"--commit={commit}")
        case Review():
            return ("review", "-")


def overrides_of(request: ExecRequest) -> dict[str, _Stated]:
    """Every key of Codex's configuration that a run states, whichever program drives it."""
    overrides: dict[str, _Stated] = dict(request.config)
    overrides |= {
        "approval_policy": request.approval,
        # Without these three the owner's config.toml could widen a workspace-write run.
        "sandbox_workspace_write.network_access": request.network,
        "sandbox_workspace_write.writable_roots": list(request.add_dirs),
        # Armarius's own state may lie below /tmp on odd machines; TMPDIR is private to the run.
        "sandbox_workspace_write.exclude_slash_tmp": True,
        # The profile of a login shell resets PATH, and whether codex restores it is a race that the
        # first command of a run may lose.
        "allow_login_shell": False,
        "shell_environment_policy.set.PATH": request.tools_path,
        # An unreachable provider would be retried for ever; the deadline alone would end it.
        "features.unbounded_connection_retries": False,
    }
    # Codex hands its environment on to commands, and writes it to a file for its shells.
    for name in sorted({*request.extra_environ, *request.hidden} - {*ALLOWED_ENVIRON, "PATH"}):
        overrides[f"shell_environment_policy.set.{name}"] = ""
    overrides |= {f"shell_environment_policy.set.{name}": value for name, value in request.tools_environ.items()}
    if request.effort is not None:
        overrides["model_reasoning_effort"] = request.effort
    if request.service_tier is not None:
        overrides["service_tier"] = request.service_tier
    if request.untrusted:
        overrides["projects"] = {name: {"trust_level": "untrusted"} for name in request.untrusted}
    if request.lean:
        overrides |= {
            "analytics.enabled": False,
            "features.plugins": False,
            "skills.bundled.enabled": False,
        }
    return overrides


def allowed_environ(ambient: Mapping[str, str]) -> dict[str, str]:
    """What of `ambient` reaches every codex. A proxy in it never gets what is for this machine.

    Codex would send it there, in the open and with the login: to a recorder, or to a model of one's own.
    """
    environ = {name: value for name, value in ambient.items() if name in ALLOWED_ENVIRON or name.startswith("LC_")}
    if any(name in environ for name in _PROXIES):
        said = next((environ[name] for name in _EXEMPT if name in environ), "")
        environ |= dict.fromkeys(_EXEMPT, ",".join(filter(None, (said, _THIS_MACHINE))))
    return environ


def environ_of(request: ExecRequest, ambient: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """The environment of codex: the allow-list, a private TMPDIR, and what the owner named."""
    environ = allowed_environ(ambient)
    return (
        environ | request.extra_environ | request.tools_environ | {"PATH": request.tools_path, "TMPDIR": str(temporary)}
    )


def toml_value(value: _Stated) -> str:
    """A value as TOML, for `--config key=value`."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_value(key)} = {toml_value(inner)}" for key, inner in value.items()) + "}"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
