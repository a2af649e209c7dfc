"""What a program reads: one JSON object, which names its schema and fits what `armarius schema` prints."""

import json
from collections.abc import Callable
from typing import Any

import click
import jsonschema_rs
import pytest

from armarius.cli import cli
from armarius.cli.schema import EDITS, schema_named
from support.terminal import Terminal

ANSWERS = {
    "audit export": {"audit_event", "audit_exported"},
    "audit ingest": {"audit_ingest"},
    "audit prune": {"audit_prune"},
    "audit report": {"audit_report"},
    "audit verify": {"audit_verify"},
    "batch": {"batch", "batch_detached", "batch_item", "batch_order"},
    "cache get": {"cache"},
    "cache list": {"cache"},
    "cache prune": {"cache"},
    "cache put": {"cache"},
    "consult": {"consultation"},
    "demo": {"demo"},
    "doctor": {"doctor"},
    "doctor billing": {"doctor_billing"},
    "doctor config": {"doctor_config"},
    "doctor mcp": {"doctor_mcp"},
    "doctor sessions": {"doctor_sessions"},
    "fork": {"run", "runs"},
    "gate plan": {"gate_plan"},
    "gate replay": {"gate_replay"},
    "goal": {"goal"},
    "install codex": {"codex_skill"},
    "install hooks": {"hooks"},
    "lanes add": {"lane"},
    "lanes list": {"lanes"},
    "lanes login": {"lane"},
    "lanes refresh": {"lane"},
    "lanes remove": {"lane"},
    "lanes status": {"lane_status"},
    "lanes use": {"lane"},
    "memory add": {"memory"},
    "memory distill": {"memory_distilled"},
    "memory forget": {"memory"},
    "memory list": {"memory"},
    "memory search": {"memory"},
    "plan check": {"plan_check"},
    "plan close": {"plan_closed"},
    "plan init": {"plan_init"},
    "plan list": {"plans"},
    "plan new": {"plan_new"},
    "plan resume": {"plan_resume", "run"},
    "plan show": {"plan"},
    "policy check": {"policy_check"},
    "policy explain": {"policy_explain"},
    "policy init": {"policy_init"},
    "policy test": {"policy_test"},
    "proxy doctor": {"proxy_doctor"},
    "proxy install": {"proxy_profile"},
    "proxy serve": {"proxy_state"},
    "proxy sessions": {"proxy_sessions"},
    "proxy status": {"proxy_status"},
    "proxy uninstall": {"proxy_profile"},
    "report": {"report"},
    "resources add": {"resource"},
    "resources lease": {"lease"},
    "resources list": {"resources"},
    "resources probe": {"resource_probe"},
    "resources remove": {"resource"},
    "resume": {"queued_message", "run", "runs"},
    "review": {"run", "runs"},
    "run": {"run", "runs"},
    "runs accept": {"decision"},
    "runs answer": {"spoken"},
    "runs approve": {"spoken"},
    "runs cancel": {"runs"},
    "runs deny": {"spoken"},
    "runs list": {"runs"},
    "runs logs": {"run_event"},
    "runs drop": {"run_work"},
    "runs keep": {"run_work"},
    "runs merge": {"run_work"},
    "runs needs-review": {"decision"},
    "runs reject": {"decision"},
    "runs retry": {"run", "runs"},
    "runs show": {"run_record"},
    "runs steer": {"spoken"},
    "runs wait": {"runs"},
    "schedule add": {"schedules"},
    "schedule list": {"schedules"},
    "schedule remove": {"schedules"},
    "schedule show-next": {"schedule_times"},
    "sessions export": {"export"},
    "sessions list": {"sessions"},
    "sessions make-visible": {"visibility"},
    "sessions search": {"search"},
    "sessions show": {"brief", "session"},
    "sessions stats": {"stats"},
    "sessions sync": {"sync"},
    "sessions tail": {"item"},
    "sleep adopt": {"change", "changes"},
    "sleep dry-run": {"sleep_plan"},
    "sleep explain": {"sleep_explanation"},
    "sleep harvest": {"sleep_harvest"},
    "sleep history": {"sleep_history"},
    "sleep reject": {"change"},
    "sleep rollback": {"change"},
    "sleep run": {"night", "rehearsal", "sleep_plan"},
    "sleep schedule": {"sleep_schedule"},
    "sleep status": {"sleep_status"},
    "sleep unschedule": {"sleep_schedule"},
    "uninstall codex": {"codex_skill"},
    "uninstall hooks": {"hooks"},
    "watch": {"signal"},
    "template copy": {"template"},
    "template list": {"templates"},
    "worker": {"worker"},
    "workflow list": {"workflows"},
    "workflow run": {"workflow"},
    "validate": {"validation"},
}
"""Every command with --json. Those that need more than an empty machine are held against their
schemas where they are told as transcripts: run, sessions, sleep and demo."""

OTHERS = {"edits", "error", "exchange", "exit", "packet", "receipt", "tasks", "thread"}


def json_commands() -> set[str]:
    found = set[str]()
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        assert command
        inner = {"": command}
        if isinstance(command, click.Group):
            context = click.Context(command)
            inner |= {sub: command.get_command(context, sub) or command for sub in command.list_commands(context)}
        found |= {f"{name} {sub}".strip() for sub, one in inner.items() if any("--json" in o.opts for o in one.params)}
    return found


def test_every_command_that_can_answer_in_json_is_in_the_table() -> None:
    assert json_commands() == ANSWERS.keys()


def test_every_answer_has_a_schema_and_every_schema_is_one(terminal: Terminal) -> None:
    listed = terminal.type("schema").out.split()
    assert set(listed) == set[str]().union(*ANSWERS.values()) | OTHERS
    assert terminal.type("schema", "run").answer["$id"] == schema_named("run")["$id"]
    for name in listed:
        schema = EDITS if name == "edits" else schema_named(name)
        assert jsonschema_rs.meta.is_valid(schema), name
        jsonschema_rs.validator_for(schema, offline=True)


@pytest.mark.parametrize("typed", ["doctor", "runs list", "sessions list", "sessions stats", "sleep status"])
def test_an_empty_machine_has_answers_too(terminal: Terminal, check: Callable[[Any], None], typed: str) -> None:
    done = terminal.type(*typed.split(), "--json")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    check(done.answer)
    assert done.answer["schema"].split(".")[1] in ANSWERS[typed]


@pytest.mark.parametrize(
    "spoilt",
    [{"schema": "armarius.run.v1"}, {"runs": None}, {"runs": [{"id": 1}]}],
)
def test_a_schema_refuses_what_is_no_such_answer(
    terminal: Terminal, schema_of: Callable[[str], jsonschema_rs.Validator], spoilt: dict[str, Any]
) -> None:
    answer = terminal.type("runs", "list", "--json").answer
    assert schema_of("runs").is_valid(answer)
    assert not schema_of("runs").is_valid(answer | spoilt)
    assert not schema_of("runs").is_valid({name: value for name, value in answer.items() if name != "schema"})


def test_a_name_may_be_given_as_an_answer_gives_it(terminal: Terminal) -> None:
    assert terminal.type("schema", "armarius.run.v1") == terminal.type("schema", "run")


def test_json_is_utf8_whatever_the_terminal_is(terminal: Terminal) -> None:
    home = terminal.home / "café"
    done = terminal.type("doctor", "--json", environ={"PYTHONIOENCODING": "ascii", "CODEX_HOME": str(home)})
    assert any("café" in finding["found"] for finding in json.loads(done.out)["findings"])
