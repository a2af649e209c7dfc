"""Whatever is wrong, the answer is one line that says what, where and the way out, and an exit code.

A row is what was typed, the exit code, and the line; `…` in a line stands for anything, {here} for
the project. With --json the same line is the message and the hint of an `armarius.error.v1`.
"""

import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.terminal import UNPRIVILEGED, Done, Terminal

SKILL = b"---\nname: writer\ndescription: Writes briefs.\n---\n\nWrite a brief.\n"
CHECK: dict[str, Any] = {"op": "contains", "arg": "x"}


def task(name: str, check: dict[str, Any] = CHECK, **more: str) -> dict[str, Any]:
    return {"task_id": name, "task": f"Do {name}.", "judge": {"kind": "rule", "checks": [check]}} | more


def task_file(*tasks: dict[str, Any], reviewed: bool = True) -> bytes:
    return json.dumps({"schema": "armarius.tasks.v1", "reviewed": reviewed, "tasks": tasks}, indent=1).encode()


FILES = {
    "good.json": task_file(*(task(f"t{n}") for n in range(6))),
    "unreviewed.json": task_file(*(task(f"t{n}") for n in range(6)), reviewed=False),
    "alone.json": task_file(task("a")),
    "broken.json": b'{\n "schema": oops\n}',
    "latin.json": b'{"schema": "caf\xe9"}',
    "duplicate.json": task_file(task("a"), task("a", task="Do another.")),
    "overlap.json": task_file(task("a", split="train"), task("b", task="Do A!", split="held_out")),
    "operator.json": task_file(task("a", {"op": "contians", "arg": "x"}), task("b")),
    "pattern.json": task_file(task("a", {"op": "regex", "arg": "a(b"}), task("b")),
    "vacuous.json": task_file(task("a", {"op": "regex", "arg": ".*"}), task("b")),
    "unchecked.json": task_file(task("a") | {"judge": {"kind": "rule", "checks": []}}),
    "blank.json": task_file(task("a", task="  "), task("b")),
    "empty.json": b"",
    "bad.schema.json": b'{"type": "objekt"}',
    "broken.schema.json": b'{"type":\n object}',
    "list.schema.json": b"[]",
    "far.schema.json": b'{"$ref": "http://127.0.0.1:9/x"}',
    "deep.schema.json": b'{"a":' * 100_000,
}


@pytest.fixture
def desk(terminal: Terminal) -> Terminal:
    """A project with a good skill and every kind of bad file."""
    terminal.install(SKILL)
    for name, data in FILES.items():
        (terminal.project / name).write_bytes(data)
    (terminal.project / "nothing").mkdir()
    outside = terminal.project.parent / "outside"
    outside.mkdir()
    (outside / "SKILL.md").write_bytes(SKILL)
    (terminal.project / "way-out").symlink_to(outside)
    (terminal.project / "image.png").write_bytes(b"\x89PNG")
    return terminal


def one_line(done: Done) -> str:
    """What a person reads: one line on standard error, nothing on standard output."""
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("armarius: ")
    return done.err.removeprefix("armarius: ").rstrip("\n")


def reads(line: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), line) is not None


def hold(done: Done, as_json: Done, code: int, pattern: str, check: Callable[[Any], None]) -> None:
    """Both forms say the same, in one line and in one object."""
    line = one_line(done)
    assert reads(line, pattern), line
    assert (done.code, as_json.code, as_json.out) == (code, code, "")
    check(as_json.error)
    message, hint = as_json.error["message"], as_json.error["hint"]
    assert (f"{message}; {hint}" if hint else message) == line
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", as_json.error["code"])


NIGHT = "sleep run --target-skill-path .agents/skills/writer --tasks-file"
ON = "sleep run --tasks-file good.json --target-skill-path"
RUN = "run hi"
ROWS = [
    # what was typed is wrong
    ("rnu hi", 2, "no command 'rnu'; did you mean 'run'?"),
    ("frobnicate", 2, "no command 'frobnicate'; known: audit, batch, …"),
    ("sessions lits", 2, "no command 'lits'; did you mean 'list'?"),
    ("run hi --schemas x", 2, "No such option '--schemas'. (Did you mean one of: …'--schema'…?); see …"),
    ("run", 2, "the prompt is empty; say what is to be done"),
    ("run a b", 2, "Got unexpected extra argument (b); see `armarius run --help`"),
    ("run hi --timeout soon", 2, "Invalid value for '--timeout': 'soon' is not a valid float…"),
    ("run hi --timeout 0", 2, "--timeout 0 is not within 0 and 3600 seconds; for more, set `timeout` in …"),
    ("run hi --timeout nan", 2, "--timeout nan is not within 0 and 3600 seconds; for more, set `timeout` in …"),
    ("run hi --timeout 1e9", 2, "--timeout 1e+09 is not within 0 and 3600 seconds; for more, set `timeout` in …"),
    ("run hi --sandbox full", 2, "Invalid value for '--sandbox': 'full' is not one of 'read-only', …"),
    ("run ''", 2, "the prompt is empty; say what is to be done"),
    ("run '  \t'", 2, "the prompt is empty; say what is to be done"),
    ("run -", 2, "the prompt is empty; say what is to be done"),
    ("runs list --limit 0", 2, "Invalid value for '--limit': 0 is not in the range x>=1; …"),
    ("runs list --role boss", 2, "Invalid value for '--role': 'boss' is not one of 'worker', 'replay', 'reflection'…"),
    ("sessions list --codex-home nowhere", 2, "Invalid value for '--codex-home': Directory 'nowhere' does not exist…"),
    ("sessions list --codex-home empty.json", 2, "Invalid value for '--codex-home': Directory 'empty.json' is a file…"),
    (f"{NIGHT} good.json --max-tasks 41", 2, "--max-tasks 41 is over the limit of 40"),
    (
        f"{NIGHT} good.json --budget-minutes nan",
        2,
        "Invalid value for '--budget-minutes': nan is not in the range 0<x…",
    ),
    ("sleep harvest --lookback-hours nan", 2, "Invalid value for '--lookback-hours': nan is not in the range 0<=x…"),
    (f"{NIGHT} good.json --project nowhere", 2, "Invalid value for '--project': Directory 'nowhere' does not exist…"),
    (f"{NIGHT} good.json --backend magic", 2, "Invalid value for '--backend': 'magic' is not one of 'mock', 'codex'…"),
    ("demo --port 70000", 2, "Invalid value for '--port': 70000 is not in the range 0<=x<=65535; …"),
    # what was named is not there, or is something else
    ("run -C nowhere hi", 3, "no folder at {here}/nowhere; name an existing one with -C"),
    ("run -C good.json hi", 3, "no folder at {here}/good.json; name an existing one with -C"),
    ("runs show run_1", 3, "nothing was run yet: no ledger at …/ledger.sqlite; start with `armarius run`"),
    ("sessions show 0199", 3, "no session '0199' under …/.codex; see `armarius sessions list`"),
    ("sessions show " + "x" * 300, 3, "no session '…' under …/.codex; see `armarius sessions list`"),
    ("sleep adopt", 3, "no proposal is staged; see `armarius sleep status`"),
    ("sleep adopt prop_1", 3, "no proposal 'prop_1'; see `armarius sleep status`"),
    ("sleep rollback", 3, "no proposal is adopted; see `armarius sleep status`"),
    # a schema for the answer
    (f"{RUN} --schema nowhere.json", 3, "nowhere.json does not exist; …"),
    (f"{RUN} --schema nothing", 3, "nothing is a directory; …"),
    (f"{RUN} --schema bad.schema.json", 3, 'bad.schema.json: "objekt" is not valid…; correct the schema'),
    (f"{RUN} --schema broken.schema.json", 3, "broken.schema.json:2:2: Expecting value; correct the JSON"),
    (f"{RUN} --schema list.schema.json", 3, "list.schema.json: a schema is a JSON object; wrap it in an object"),
    (f"{RUN} --schema far.schema.json", 3, "far.schema.json: …; correct the schema"),
    (f"{RUN} --schema deep.schema.json", 3, "deep.schema.json: …"),
    # tasks and their checks
    (f"{NIGHT} nowhere.json", 3, "nowhere.json does not exist; check the path"),
    (f"{NIGHT} nothing", 3, "nothing is a directory; name a regular file"),
    (f"{NIGHT} empty.json", 3, "empty.json:1:1: invalid JSON: Expecting value"),
    (f"{NIGHT} broken.json", 3, "broken.json:2:12: invalid JSON: Expecting value"),
    (f"{NIGHT} latin.json", 3, "latin.json:1:16: byte 0xe9 is not UTF-8; save it as UTF-8"),
    (f"{NIGHT} image.png", 3, "image.png:1:1: byte 0x89 is not UTF-8; save it as UTF-8"),
    (
        f"{NIGHT} duplicate.json",
        3,
        "duplicate.json:…: task_id 'a' is there twice, first at …; give each …",
    ),
    (f"{NIGHT} overlap.json", 3, "overlap.json:…: the same text is in train and in held_out: 'a' and 'b', first at …"),
    (
        f"{NIGHT} operator.json",
        3,
        "operator.json:…: task 'a', …: unknown operator 'contians'; did you mean 'contains'…",
    ),
    (f"{NIGHT} pattern.json", 3, "pattern.json:…: task 'a', …: invalid pattern 'a(b'…missing ): a(b (syntax of RE2)…"),
    (f"{NIGHT} vacuous.json", 3, "vacuous.json:…: task 'a', …: the pattern '.*' is found in every answer, so …"),
    (
        f"{NIGHT} unchecked.json",
        3,
        "unchecked.json:…: task 'a', …: the judge has no checks, so every answer …",
    ),
    (f"{NIGHT} blank.json", 3, "blank.json:…: task 'a', …: the task text is blank"),
    (f"{NIGHT} alone.json --backend codex", 3, "alone.json: 0 held-out tasks cannot certify any candidate; add tasks…"),
    # the skill
    (f"{ON} nowhere", 3, "{here}/nowhere does not exist; …"),
    (f"{ON} nothing", 3, "{here}/nothing/SKILL.md does not exist; …"),
    (
        "sleep run --tasks-file good.json --target-skill-path good.json",
        3,
        "good.json is {here}/good.json, which is not …",
    ),
    (
        "sleep run --tasks-file good.json --target-skill-path ../outside",
        5,
        "../outside is …/outside, which lies outside …",
    ),
    (f"{ON} way-out", 5, "way-out is …/outside, which lies outside …"),
    (f"{ON} way-out/SKILL.md", 5, "way-out/SKILL.md is …/outside/…"),
    (f"{ON} /etc/passwd", 5, "/etc/passwd lies outside …"),
    # policy
    (f"{RUN} --sandbox danger-full-access", 5, "danger-full-access needs a recorded authorisation, …"),
    (
        f"{NIGHT} unreviewed.json --backend codex",
        5,
        "unreviewed.json is not marked as reviewed, …; read it, …",
    ),
]


def words_of(line: str) -> list[str]:
    """A line as a shell splits it; here only a quoted argument at the end has spaces."""
    plain, quote, argument = line.partition(" '")
    return [*plain.split(), argument.removesuffix("'")] if quote else plain.split()


def brief(row: tuple[str, int, str]) -> str:
    return row[0].replace(NIGHT, "night").replace(ON, "skill")[:60].strip()


@pytest.mark.parametrize(("typed", "code", "pattern"), ROWS, ids=map(brief, ROWS))
def test_bad_input_is_answered_by_one_line_and_an_exit_code(
    desk: Terminal, check: Callable[[Any], None], typed: str, code: int, pattern: str
) -> None:
    words = words_of(typed)
    done, as_json = desk.type(*words), desk.type(*words, "--json")
    hold(done, as_json, code, pattern.format(here=desk.project), check)


@pytest.mark.parametrize("words", [["schema", "rnu"], ["schema", "armarius.run.v2"]])
def test_an_unknown_schema_is_a_usage_error(terminal: Terminal, words: list[str]) -> None:
    done = terminal.type(*words)
    assert (done.code, one_line(done).split(";")[0]) == (2, f"no schema called {words[1]!r}")


PROJECT_FILES = [
    # what only the user may set, known or not
    ('codex = "/project/codex"', 5, "a project may not set `codex`; it may only name or narrow: skill, …"),
    ('model = "dear"', 5, "a project may not set `model`; …"),
    ('sandbox = "danger-full-access"', 5, "a project may not set `sandbox`; …"),
    ("workers = 64", 5, "a project may not set `workers`; …"),
    ('skill_roots = ["/"]', 5, "a project may not set `skill_roots`; …"),
    ('environ = {PATH = "/project"}', 5, "a project may not set `environ`; …"),
    ('[codex_home]\npath = "x"', 5, "a project may not set `codex_home`; …"),
    # limits that grow
    ("timeout = 3601", 5, "a project may not raise `timeout` from 3600 to 3601; …"),
    ("max_tasks = 41", 5, "a project may not raise `max_tasks` from 40 to 41; …"),
    # ways out of the project
    ('skill = "../outside"', 5, "`../outside` leads to …/outside, outside the project; name a path inside"),
    ('skill = "way-out"', 5, "`way-out` leads to …/outside, outside the project; name a path inside"),
    ('tasks = "/etc/passwd"', 5, "`/etc/passwd` leads to /etc/passwd, outside the project; name a path inside"),
    # what would trip a reader
    ('skill = "nul\\u0000"', 3, "'nul\\x00' is no path: …"),
    ("timeout = nan", 3, "timeout is nan; …"),
    ("timeout = -1", 3, "timeout is -1.0; …"),
    ('timeout = "long"', 3, "Expected `float | null`, got `str` - at `$.timeout`; correct the file"),
    ("max_tasks = true", 3, "Expected `int | null`, got `bool` - at `$.max_tasks`; correct the file"),
    ("max_tasks = " + "1" * 5_000, 3, "…4300 digits…; correct the file"),
    ("x = " + "[" * 5_000, 3, "maximum recursion depth exceeded…; correct the file"),
    ("x = '" + "y" * 70_000 + "'", 3, None),
    ("skill", 3, "Expected '=' after a key in a key/value pair (at end of document); correct the file"),
    ("\xff", 3, "byte 0 is not UTF-8; save it as UTF-8"),
]


@pytest.mark.parametrize(("text", "code", "pattern"), PROJECT_FILES, ids=[row[0][:40] for row in PROJECT_FILES])
def test_a_hostile_project_file_is_refused_whatever_is_asked(
    desk: Terminal, text: str, code: int, pattern: str | None
) -> None:
    file = desk.project / ".armarius.toml"
    file.write_bytes(text.encode("latin-1"))
    for words in (["run", "hi"], [*NIGHT.split(), "good.json"]):
        done = desk.type(*words)
        line = one_line(done)
        shape = f"{file}: {pattern}" if pattern else f"{file} has 70,006 bytes, at most … are read; …"
        assert (done.code, reads(line, shape)) == (code, True), line
    assert not desk.state.exists(), "nothing was claimed, started or remembered"


@pytest.mark.parametrize("kind", ["folder", "pipe", "endless", "circle"])
def test_a_project_file_that_is_no_file_neither_hangs_nor_crashes(desk: Terminal, kind: str) -> None:
    file = desk.project / ".armarius.toml"
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "endless":
            file.symlink_to("/dev/zero")
        case _:
            file.symlink_to(file.name)
    done = desk.type("run", "hi")
    assert (done.code, str(file) in one_line(done)) == (3, True)


def test_a_project_file_counts_from_the_top_of_the_repository_down(desk: Terminal) -> None:
    (desk.project / ".armarius.toml").write_text("max_tasks = 41")
    inside = desk.project / "deep" / "down"
    inside.mkdir(parents=True)
    assert desk.type("run", "hi", folder=inside).code == 5
    assert desk.type("run", "hi", "-C", str(inside), folder=desk.home).code == 5
    assert desk.type("runs", "list").code == 0, "a command that is not about the project does not ask it"


# The machine.


def shadowed(desk: Terminal) -> dict[str, str]:
    """A `codex_cli_bin` without its program comes first, as on a platform that the wheel lacks."""
    package = desk.project.parent / "shadow" / "codex_cli_bin"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    return {"PYTHONPATH": str(package.parent), "PATH": str(desk.project.parent / "shadow")}


def packaged(desk: Terminal, script: str) -> dict[str, str]:
    """A codex as npm installs it, whose native program is this shell script."""
    package = desk.project.parent / "npm" / "codex"
    for path, text in (("bin/codex.js", "#!/usr/bin/env node\n"), ("vendor/any/bin/codex", f"#!/bin/sh\n{script}\n")):
        file = package / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
        file.chmod(0o755)
    return {"ARMARIUS_CODEX": str(package / "bin" / "codex.js")}


def naming(path: str) -> Callable[[Terminal], dict[str, str]]:
    return lambda _: {"ARMARIUS_CODEX": path}


def saying(script: str) -> Callable[[Terminal], dict[str, str]]:
    return lambda desk: packaged(desk, script)


CODEXES: list[tuple[str, Callable[[Terminal], dict[str, str]], str]] = [
    ("none anywhere", shadowed, "no codex on PATH (…/shadow); install it with …"),
    ("not there", naming("/no/such"), "no codex at /no/such (set as `codex`); correct or remove the setting"),
    ("a folder", naming("/etc"), "no codex at /etc (set as `codex`); correct or remove the setting"),
    ("not to be run", naming("/etc/passwd"), "/etc/passwd cannot be run: …; install it with …"),
    ("another program", naming(shutil.which("true") or ""), "…true does not answer `--version` as codex does; …"),
    ("a lone wrapper", naming("/bin/sh"), "…sh does not answer `--version` as codex does; …"),
    ("too old", saying("echo codex-cli 0.100.0"), "codex 0.100.0 at …/codex is too old (its exec lacks --ephemeral, …"),
    ("without its flags", saying("echo codex-cli 0.999.0"), "codex 0.999.0 at …/codex is too old (its exec lacks …"),
    ("broken", saying("exit 3"), "…/codex does not answer `--version` as codex does; …"),
]


@pytest.mark.parametrize(("codex", "pattern"), [row[1:] for row in CODEXES], ids=[row[0] for row in CODEXES])
@pytest.mark.parametrize("typed", [RUN, "demo"])
def test_without_a_usable_codex_every_command_that_needs_it_says_so(
    desk: Terminal,
    check: Callable[[Any], None],
    typed: str,
    codex: Callable[[Terminal], dict[str, str]],
    pattern: str,
) -> None:
    environ = codex(desk)
    words = typed.split()
    done, as_json = desk.type(*words, environ=environ), desk.type(*words, "--json", environ=environ)
    hold(done, as_json, 4, pattern, check)


def test_doctor_says_all_that_is_missing_at_once(desk: Terminal) -> None:
    (desk.codex_home / "config.toml").write_text("[oops")
    done = desk.type("doctor", environ=shadowed(desk) | {"ARMARIUS_HOME": str(desk.project / "good.json")})
    failed = {line.split()[0] for line in done.out.splitlines() if line.split()[1] == "fail"}
    assert (done.code, failed >= {"codex", "login", "state"}, done.err) == (4, True, "")


def test_a_taken_port_is_named(desk: Terminal, check: Callable[[Any], None]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done, as_json = desk.type("demo", "--port", port), desk.type("demo", "--port", port, "--json")
    line = f"port {port} on 127.0.0.1 is taken; choose another with --port or leave it out"
    hold(done, as_json, 4, line, check)


KEY = "sk-proj-doNotPrintMe0123456789abcdef"


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "CODEX_API_KEY"])
@pytest.mark.parametrize("typed", [RUN, f"{NIGHT} good.json --backend codex"])
def test_an_api_key_beside_a_chatgpt_login_is_refused_by_name_and_never_shown(
    desk: Terminal, check: Callable[[Any], None], typed: str, name: str
) -> None:
    login = {"auth_mode": "chatgpt", "tokens": {"access_token": "a.b.c", "refresh_token": "r"}}
    (desk.codex_home / "auth.json").write_text(json.dumps(login))
    environ = {name: KEY}
    done, as_json = desk.type(*typed.split(), environ=environ), desk.type(*typed.split(), "--json", environ=environ)
    line = (
        f"{name} is set beside a ChatGPT login in …; Codex could bill the key instead; unset {name}, "
        "or let Armarius drop such variables with `drop_keys = true` in your config.toml"
    )
    hold(done, as_json, 5, line, check)
    doctor = desk.type("doctor", environ=environ)
    assert doctor.code == 4
    assert KEY not in done.err + as_json.err + doctor.out + doctor.err


@pytest.mark.parametrize(
    ("typed", "code"),
    [(RUN, 4), (f"{NIGHT} good.json --backend codex", 4), ("sleep status", 4), ("runs list", 0), ("doctor", 4)],
)
@pytest.mark.parametrize("trouble", ["unwritable", "a file", "below a file"])
def test_a_state_folder_that_cannot_be_used_is_named(
    desk: Terminal, check: Callable[[Any], None], typed: str, code: int, trouble: str
) -> None:
    above = desk.project.parent / "state"
    if trouble == "unwritable":
        above.mkdir(mode=0o500)
    else:
        above.write_text("")
    home = above if trouble == "a file" else above / "armarius"
    environ = {"ARMARIUS_HOME": str(home)}
    as_json = desk.type(*typed.split(), "--json", environ=environ, through=UNPRIVILEGED)
    if typed == "doctor":
        verdicts = {finding["check"]: finding["verdict"] for finding in as_json.answer["findings"]}
        assert (as_json.code, verdicts["state"]) == (code, "fail")
    elif code:
        done = desk.type(*typed.split(), environ=environ, through=UNPRIVILEGED)
        hold(done, as_json, code, f"…{above}…; …", check)
    else:
        assert (as_json.code, as_json.answer["runs"]) == (code, [])


@pytest.mark.parametrize("typed", [RUN, f"{NIGHT} good.json"])
def test_a_folder_that_was_removed_under_us_is_named(desk: Terminal, typed: str) -> None:
    through = ("/bin/sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@"')
    done = desk.type(*typed.split(), through=through)
    assert (done.code, one_line(done)) == (4, "the current folder does not exist any more; change to another one")


def test_words_that_are_not_utf8_are_said_and_not_sent(desk: Terminal, check: Callable[[Any], None]) -> None:
    desk.configure("http://127.0.0.1:1/v1")  # who is logged in is asked before the folder is written down
    done, as_json = desk.type("run", b"caf\xe9"), desk.type("run", b"caf\xe9", "--json")
    hold(done, as_json, 3, "PROMPT: byte 3 is not UTF-8; write the prompt in UTF-8", check)
    assert one_line(desk.type("run", "-", stdin=b"\xff")).startswith("standard input: byte 0 is not UTF-8")
    done, as_json = desk.type("run", "-C", b"\xff", "hi"), desk.type("run", "-C", b"\xff", "hi", "--json")
    hold(done, as_json, 3, r"no folder at …/\udcff; name an existing one with -C", check)
    folder = Path(os.fsdecode(os.fsencode(desk.project) + b"/\xff"))
    folder.mkdir()
    done, as_json = desk.type("run", "-C", folder.name, "hi"), desk.type("run", "-C", folder.name, "hi", "--json")
    hold(done, as_json, 3, r"'…/project/\udcff' is not UTF-8; use a UTF-8 name", check)
