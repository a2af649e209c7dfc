"""A packet is carried out as it says, or refused by the name of what it may not say."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from armarius.audit.packet import Packet, check_environment, read_packet, request_of
from armarius.dispatch.api import open_dispatch
from armarius.errors import ArmariusError, DataError, Refused
from armarius.proof.receipt import Receipt
from armarius.runs.records import latest_runs
from armarius.testing.model_server import ModelServer
from support.run_world import script
from support.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, private_home)


def write(folder: Path, **said: Any) -> Path:
    path = folder / "packet.json"
    path.write_text(json.dumps({"schema": "armarius.packet.v1", "packet_id": "p1", "prompt": "do it"} | said))
    return path


def write_for(terminal: Terminal, **said: Any) -> str:
    return str(write(terminal.project.parent, auth={"required_mode": "any"}, **said))


def test_a_packet_is_a_whole_run(terminal: Terminal, server: ModelServer) -> None:
    terminal.serve(server)
    (terminal.project / "asked.txt").write_text(script({"sh": "printf $COLOUR > made.txt"}, {"say": '{"n": 1}'}))
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    path = write_for(
        terminal,
        prompt=None,
        prompt_path="asked.txt",
        sandbox="workspace-write",
        output_schema=schema,
        timeout_seconds=60,
        environment={"COLOUR": "blue"},
        evidence={
            "required_commands": [{"argv": ["sh", "-c", "test $(cat made.txt) = $COLOUR"], "timeout_seconds": 9}],
            "artifacts": ["made.txt"],
        },
        output={"receipt_path": "receipt.json", "last_message_path": "said.txt", "events_path": "events.jsonl"},
        budget={"turns": 3},
    )
    data = json.loads(Path(path).read_text())
    del data["prompt"]
    Path(path).write_text(json.dumps(data))
    done = terminal.type("run", "--json", "--packet", path)
    assert (done.code, done.err) == (0, "")
    assert (done.answer["parsed"], [one["passed"] for one in done.answer["required"]]) == ({"n": 1}, [True])
    receipt = msgspec.json.decode((terminal.project / "receipt.json").read_bytes(), type=Receipt)
    assert receipt.asked.packet is not None
    assert [one.path for one in receipt.artefacts if one.kind == "evidence"] == ["evidence/1"]
    assert (Path(done.answer["folder"]) / "evidence" / "1").read_text() == "blue"
    assert (terminal.project / "said.txt").read_text() == '{"n": 1}'
    assert (terminal.project / "events.jsonl").read_text().startswith('{"type":"thread.started"')
    assert terminal.type("audit", "verify").code == 0
    again = terminal.type("run", "--json", "--packet", path)
    assert (again.code, again.error["code"]) == (5, "path-taken")


def test_evidence_that_is_missing_or_a_link_fails_the_run(terminal: Terminal, server: ModelServer) -> None:
    terminal.serve(server)
    prompt = script({"sh": "ln -s /etc/hostname made.txt"}, {"say": "done"})
    path = write_for(terminal, prompt=prompt, sandbox="workspace-write", evidence={"artifacts": ["made.txt"]})
    done = terminal.type("run", "--json", "--packet", path)
    assert (done.code, done.answer["problem"]["code"]) == (1, "evidence-missing")


def test_the_stop_condition_is_told_to_the_agent_and_kept(terminal: Terminal, server: ModelServer) -> None:
    terminal.serve(server)
    done = terminal.type("run", "--json", "--packet", write_for(terminal, stop_condition="all is said"))
    receipt = json.loads((Path(done.answer["folder"]) / "receipt.json").read_bytes())
    assert receipt["asked"]["stop_condition"] == "all is said"
    asked = server.records[0].request()["input"]
    assert "Stop when: all is said" in json.dumps(asked)


REFUSED: tuple[tuple[dict[str, Any], str, int], ...] = (
    ({"cwd": "/"}, "path-outside", 5),
    ({"cwd": "../"}, "path-outside", 5),
    ({"cwd": "link"}, "path-link", 5),
    ({"prompt_path": "../x", "prompt": None}, "path-outside", 5),
    ({"prompt_path": "link/x", "prompt": None}, "path-link", 5),
    ({"prompt_path": "missing", "prompt": None}, "path", 3),
    ({"output_schema_path": "/etc/passwd"}, "path-outside", 5),
    ({"output_schema_path": "packet.json", "output_schema": {}}, "packet", 3),
    ({"evidence": {"artifacts": ["../x"]}}, "path-outside", 5),
    ({"output": {"receipt_path": "../x"}}, "path-outside", 5),
    ({"output": {"receipt_path": "link"}}, "path-taken", 5),
    ({"sandbox": "danger-full-access"}, "packet", 3),
    ({"argv": ["codex", "--yolo"]}, "packet", 3),
    ({"config": {"sandbox_mode": "danger-full-access"}}, "packet", 3),
    ({"role": "explorer", "sandbox": "workspace-write"}, "packet-role", 5),
    ({"resume": {"policy": "last-session-in-cwd"}}, "packet", 3),
    ({"resume": {"policy": "session-id"}}, "packet", 3),
    ({"resume": {"policy": "session-id", "session_id": "--yolo"}}, "packet", 3),
    ({"prompt_path": "x"}, "packet", 3),
    ({"prompt": None}, "packet", 3),
    ({"auth": {"required_mode": "chatgpt"}}, "packet-login", 4),
    ({"auth": {"lane": "--yolo"}}, "lane-unknown", 2),
    ({"timeout_seconds": 600_000}, "timeout", 2),
    ({"evidence": {"required_commands": [{"argv": ["no-such-program"]}]}}, "require", 3),
    ({"evidence": {"required_commands": ["sh -c true"]}}, "packet", 3),
    ({"environment": {"OPENAI_API_KEY": ""}}, "packet-environment", 5),
)


@pytest.mark.parametrize(("said", "code", "exit_code"), REFUSED, ids=[json.dumps(said) for said, _, _ in REFUSED])
def test_a_packet_that_may_not_be_is_refused_before_anything_is_claimed(
    terminal: Terminal, codex_wheel: Path, *, said: dict[str, Any], code: str, exit_code: int
) -> None:
    terminal.configure("http://127.0.0.1:9")
    (terminal.project / "link").symlink_to("/etc")
    path = write(terminal.project.parent, **({"auth": {"required_mode": "any"}} | said))
    data = {name: value for name, value in json.loads(path.read_text()).items() if value is not None}
    path.write_text(json.dumps(data))
    environ = terminal.environ | {"ARMARIUS_CODEX": str(codex_wheel)}
    with open_dispatch(terminal.project, environ) as dispatch:
        with pytest.raises(ArmariusError) as refused:
            request_of(dispatch, *read_packet(path), terminal.project)
        assert (refused.value.code, refused.value.exit_code) == (code, exit_code)
        assert latest_runs(dispatch.bench.ledger, most=1) == []


@pytest.mark.parametrize(
    "words", [("a prompt",), ("--model", "other"), ("--sandbox", "workspace-write"), ("--detach",)]
)
def test_nothing_that_changes_the_run_may_be_said_beside_a_packet(terminal: Terminal, words: tuple[str, ...]) -> None:
    done = terminal.type("run", "--json", "--packet", write_for(terminal), *words)
    assert (done.code, done.error["code"]) == (2, "packet")


SECRET = "sk-" + "a" * 40

DANGEROUS = (
    *(
        "OPENAI_API_KEY",
        "CODEX_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "MY_KEY",
        "KEY",
        "GITHUB_TOKEN",
        "MY_SECRET",
        "PASSWORD",
    ),
    *("openai_api_key", "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PYTHONSTARTUP"),
    *("PYTHONHOME", "NODE_OPTIONS", "GIT_DIR", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT", "BASH_ENV", "ENV", "CODEX_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "PATH"),
    *("HOME", "TMPDIR", "IFS", "SHELL", "PERL5LIB", "RUBYOPT", "JAVA_TOOL_OPTIONS", "PAGER", "GIT_PAGER", "EDITOR"),
    *("MAKEFLAGS", "CFLAGS", "GOFLAGS", "PS4", "PROMPT_COMMAND", "ARMARIUS_HOME", "BASH_FUNC_ls", "_JAVA_OPTIONS"),
    *("NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "AWS_PROFILE", "a=b", "a b", "", "A\nB", "BASH_FUNC_ls%%"),
)


@pytest.mark.parametrize("name", DANGEROUS, ids=[ascii(name) for name in DANGEROUS])
def test_a_variable_that_is_dangerous_is_refused_by_its_name_and_never_by_its_value(name: str) -> None:
    with pytest.raises(Refused) as refused:
        check_environment({"COLOUR": "blue", name: "the-value"})
    assert (refused.value.code, refused.value.exit_code) == ("packet-environment", 5)
    assert "the-value" not in str(refused.value)


@pytest.mark.parametrize("name", ["COLOUR", "MONKEY", "GAME", "DEBUG", "CI", "TEST_CASES", "N", "lower_case"])
def test_a_variable_that_is_harmless_may_be_set_unless_it_looks_like_a_secret(name: str) -> None:
    check_environment({name: "plain"})
    with pytest.raises(Refused) as refused:
        check_environment({name: SECRET})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema":"armarius.packet.v2"}',
        "\x00",
        '{"schema":"armarius.packet.v1"}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_packet_is_bad_data(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(DataError):
        read_packet(tmp_path / "p.json")


ALIKE: tuple[tuple[dict[str, Any], bool], ...] = (
    ({}, True),
    ({"more": 1}, False),
    ({"auth": {"more": 1}}, False),
    ({"sandbox": "danger-full-access"}, False),
    ({"packet_id": "../x"}, False),
    ({"packet_id": "x\n"}, False),
    ({"timeout_seconds": 0}, False),
    ({"evidence": {"required_commands": [{"argv": []}]}}, False),
)


def test_the_published_schema_says_the_same_as_the_code(tmp_path: Path, terminal: Terminal) -> None:
    validator = jsonschema_rs.validator_for(terminal.type("schema", "packet").answer, offline=True)
    for said, good in ALIKE:
        path = write(tmp_path, **said)
        assert validator.is_valid(json.loads(path.read_text())) == good, said
        try:
            read_packet(path)
        except ArmariusError:
            assert not good, said
        else:
            assert good, said


def test_a_packet_round_trips() -> None:
    packet = Packet(schema="armarius.packet.v1", packet_id="x", prompt="y")
    assert msgspec.json.decode(msgspec.json.encode(packet), type=Packet) == packet
