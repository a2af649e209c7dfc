"""A request as argv and environment; and what of it reaches the commands and the model."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.codex.app_server import environ_for
from armarius.codex.binary import Binary
from armarius.codex.command import ALLOWED_ENVIRON, ExecRequest, argv_of, environ_of, toml_value
from armarius.errors import HostError
from armarius.thread import Sandbox
from support.run_world import TOOLS_PATH, World, script

BINARY = Binary("/opt/codex", "setting", "0.163.0", frozenset())
REQUEST = ExecRequest(prompt="do it", cwd="/w", sandbox=Sandbox.READ_ONLY, tools_path="/usr/bin")
PINNED: dict[str, Any] = {
    "approval_policy": "never",
    "sandbox_workspace_write": {"network_access": False, "writable_roots": [], "exclude_slash_tmp": True},
    "allow_login_shell": False,
    "shell_environment_policy": {"set": {"PATH": "/usr/bin"}},
    "features": {"unbounded_connection_retries": False},
}
LEAN = {
    "analytics": {"enabled": False},
    "features": {"unbounded_connection_retries": False, "plugins": False},
    "skills": {"bundled": {"enabled": False}},
}
HOSTILE = (
    'quote " and \\ backslash',
    "line\nbreak\r\n",
    'x"\n[mcp_servers.x]\ncommand="/bin/sh',
    "]\n[mcp_servers.x]",
    "\x00\x1b\x7f\x85\u2028",
    "'''\"\"\"",
    "a=b",
    "--yolo",
    "größe 😀",
    "",
)


def config_of(argv: tuple[str, ...]) -> dict[str, Any]:
    """What the `--config` words say, read as codex reads them: a dotted key, `=`, a TOML value."""
    whole: dict[str, Any] = {}
    for word in argv:
        if word.startswith("--config="):
            key, _, value = word.removeprefix("--config=").partition("=")
            table = whole
            *folders, name = key.split(".")
            for folder in folders:
                table = table.setdefault(folder, {})
            table[name] = tomllib.loads(f"v = {value}")["v"]
    return whole


def flags_of(argv: tuple[str, ...]) -> list[str]:
    return [word for word in argv if not word.startswith("--config=")]


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, []),
        ({"sandbox": Sandbox.WORKSPACE_WRITE}, []),
        ({"model": "gpt-5.5"}, ["--model=gpt-5.5"]),
        ({"schema_file": "/s.json"}, ["--output-schema=/s.json"]),
        ({"ephemeral": True}, ["--ephemeral"]),
        ({"thread_source": "armarius-worker"}, ["--thread-source=armarius-worker"]),
        ({"model": "m", "schema_file": "/s"}, ["--model=m", "--output-schema=/s"]),
    ],
)
def test_flags_say_the_sandbox_and_the_folder_whatever_else_is_asked(changes: dict[str, Any], flags: list[str]) -> None:
    request = msgspec.structs.replace(REQUEST, **changes)
    argv = argv_of(request, BINARY)
    pinned = [f"--sandbox={request.sandbox.flag}", "--cd=/w"]
    assert flags_of(argv) == [
        *("/opt/codex", "exec", "--json", "--color=never", "--skip-git-repo-check", "--ignore-rules"),
        *pinned,
        *flags,
        "-",
    ]


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({}, PINNED),
        ({"sandbox": Sandbox.DANGER_FULL_ACCESS}, PINNED),
        ({"effort": "high"}, PINNED | {"model_reasoning_effort": "high"}),
        ({"lean": True}, PINNED | LEAN),
        (
            {"extra_environ": {"HOME": "/h", "CODEX_HOME": "/c", "PROVIDER_KEY": "sk-secret"}},
            PINNED | {"shell_environment_policy": {"set": {"PATH": "/usr/bin", "PROVIDER_KEY": ""}}},
        ),
    ],
)
def test_the_configuration_pins_what_a_run_may_do(changes: dict[str, Any], config: dict[str, Any]) -> None:
    argv = argv_of(msgspec.structs.replace(REQUEST, **changes), BINARY)
    assert config_of(argv) == config
    assert "sk-secret" not in "".join(argv)


texts = st.one_of(st.sampled_from(HOSTILE), st.text())


@given(model=texts, effort=texts, path=texts, folder=texts)
def test_no_value_can_become_a_flag_or_a_key(model: str, effort: str, path: str, folder: str) -> None:
    request = msgspec.structs.replace(
        REQUEST, model=model, effort=effort, tools_path=path, cwd=folder, schema_file=folder, thread_source=model
    )
    argv = argv_of(request, BINARY)
    assert config_of(argv) == PINNED | {
        "shell_environment_policy": {"set": {"PATH": path}},
        "model_reasoning_effort": effort,
    }
    assert flags_of(argv)[6:] == [
        "--sandbox=read-only",
        f"--cd={folder}",
        f"--model={model}",
        f"--output-schema={folder}",
        f"--thread-source={model}",
        "-",
    ]


@given(st.one_of(st.booleans(), texts, st.lists(texts)))
def test_a_value_comes_back_from_toml_as_it_was(value: Any) -> None:
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}


DROPPED = (
    *(
        "CODEX_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "ANTHROPIC_API_KEY",
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
    ),
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PYTHONSTARTUP", "NODE_OPTIONS"),
    *("GIT_DIR", "GIT_SSH_COMMAND", "BASH_ENV", "ENV", "PROMPT_COMMAND", "RUST_LOG", "SSH_AUTH_SOCK", "ALL_PROXY"),
    *("CODEX_INTERNAL_ORIGINATOR_OVERRIDE", "CODEX_ACCESS_TOKEN", "ARMARIUS_HOME", "PWD", "OLDPWD", "LCALL", "home"),
)


def test_the_environment_is_the_allow_list_a_path_a_private_tmpdir_and_what_the_owner_named() -> None:
    ambient = {name: f"ambient {name}" for name in (*ALLOWED_ENVIRON, *DROPPED, "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR")}
    request = msgspec.structs.replace(REQUEST, extra_environ={"CODEX_HOME": "/c", "PROVIDER_KEY": "k"})
    expected = {name: ambient[name] for name in (*ALLOWED_ENVIRON, "LC_ALL", "LC_CTYPE")}
    expected |= {"PATH": "/usr/bin", "TMPDIR": "/run/tmp", "CODEX_HOME": "/c", "PROVIDER_KEY": "k"}
    expected |= dict.fromkeys(("NO_PROXY", "no_proxy"), "ambient NO_PROXY,127.0.0.1,::1,localhost")
    assert environ_of(request, ambient, Path("/run/tmp")) == expected


HERE = "127.0.0.1,::1,localhost"


@pytest.mark.parametrize(
    ("ambient", "exempt"),
    [
        ({}, None),
        ({"NO_PROXY": "corp"}, "corp"),
        ({"HTTP_PROXY": "http://p:1"}, HERE),
        ({"https_proxy": "http://p:1", "NO_PROXY": ""}, HERE),
        ({"http_proxy": "http://p:1", "no_proxy": "corp,.x"}, f"corp,.x,{HERE}"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "corp", "no_proxy": "lost"}, f"corp,{HERE}"),
    ],
)
def test_a_proxy_never_gets_what_is_for_this_machine(ambient: dict[str, str], exempt: str | None) -> None:
    assert environ_of(REQUEST, ambient, Path("/t")).get("NO_PROXY") == exempt
    assert environ_for(Path("/c"), ambient).get("NO_PROXY") == exempt


def test_no_key_no_loader_and_no_startup_file_is_on_the_allow_list() -> None:
    assert not set(DROPPED) & set(ALLOWED_ENVIRON)


def test_nothing_is_invented_that_the_caller_does_not_have() -> None:
    assert environ_of(REQUEST, {}, Path("/t")) == {"PATH": "/usr/bin", "TMPDIR": "/t"}


PROMPTS = (
    "--yolo",
    "--dangerously-bypass-approvals-and-sandbox",
    "-",
    "--",
    "-c sandbox_mode=danger-full-access",
    "resume --last",
    "  spaces, and a break at the end \n",
    "windows\r\nlines\r\n",
    "quotes ' \" ` $HOME $(id) \\",
    "grüße 😀\u2028 \x1b[31m \x00 \x7f",
    "long " * 20_000,
)


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_a_prompt_reaches_the_model_as_it_was_written(world: World, prompt: str) -> None:
    with world.runner() as runner:
        result = runner.run(world.request(prompt))
    assert (result.state, result.sandbox_seen) == ("succeeded", "read-only")
    assert world.prompts() == [prompt]


@pytest.mark.parametrize("model", ["--yolo", 'a"b\n[mcp_servers.x]\ncommand="touch"'])
def test_a_model_and_an_effort_reach_the_model_as_they_were_written(each_world: World, model: str) -> None:
    effort = 'high"\n]\n[mcp_servers.x]'
    with each_world.runner() as runner:
        result = runner.run(each_world.request("Say something.", model=model, effort=effort))
    assert result.state == "succeeded"
    [record] = each_world.server.records
    body = record.request()
    assert body["model"] == model
    assert result.model == model


@pytest.mark.parametrize("place", ["home", "project"])
def test_a_rule_that_allows_a_command_does_not_let_it_out_of_the_sandbox(each_world: World, place: str) -> None:
    each_world.configure(projects={str(each_world.project): {"trust_level": "trusted"}})
    folder = {"home": each_world.codex_home, "project": each_world.project / ".codex"}[place]
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "default.rules").write_text('prefix_rule(pattern=["touch"], decision="allow")\n')
    with each_world.runner() as runner:
        result = runner.run(each_world.request(script({"sh": "touch made"}, {"say": "bye"})))
    assert (result.state, result.failed_commands, result.files_evidence) == ("succeeded", 1, "sandbox")
    assert not (each_world.project / "made").exists()


def test_commands_see_the_path_of_the_run_and_not_the_key_of_the_provider(each_world: World) -> None:
    each_world.configure({"env_key": "PROVIDER_KEY", "env_http_headers": {"x-team": "PROVIDER_TEAM"}})
    secrets = {"PROVIDER_KEY": "key-of-the-provider", "PROVIDER_TEAM": "team-of-the-provider"}
    look = "echo $PATH; env; cat $CODEX_HOME/shell_snapshots/* /proc/[0-9]*/environ; true"
    with each_world.runner() as runner:
        result = runner.run(each_world.request(script({"sh": look}, {"say": "bye"}), environ=secrets))
    assert result.state == "succeeded"
    asked, told = each_world.server.records
    assert asked.headers["authorization"] == "Bearer key-of-the-provider"
    assert asked.headers["x-team"] == "team-of-the-provider"
    [output] = [item["output"] for item in told.request()["input"] if item.get("type") == "function_call_output"]
    path = output.partition("Output:\n")[2].splitlines()[0]
    assert path.endswith(f":{TOOLS_PATH}")
    assert "/usr/local" not in path
    assert "PROVIDER_KEY=\n" in output
    assert "of-the-provider" not in output
    for file in each_world.folder.rglob("*"):
        assert not file.is_file() or b"of-the-provider" not in file.read_bytes()


def test_a_key_that_the_provider_wants_and_nobody_has_is_a_lack_of_login(world: World) -> None:
    world.configure({"env_key": "PROVIDER_KEY"})
    with world.runner() as runner:
        result = runner.run(world.request("Say something."))
    assert result.problem
    assert (result.state, result.problem.code, result.problem.exit_code) == ("failed", "login", HostError.exit_code)
    assert "PROVIDER_KEY" in result.problem.message
    assert world.server.requests == 0
