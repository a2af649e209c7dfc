"""`armarius plan`, as somebody types it: from an empty repository to a plan that is closed."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.terminal import Terminal

Check = Callable[[Any], None]
GOOD = (Path(__file__).parents[1] / "plans" / "good_plan.md").read_text(encoding="utf-8")


@pytest.fixture
def project(terminal: Terminal) -> Path:
    """With what the good plan names, and nothing that is wrong."""
    for name in ("src/greet.py", "tests/test_greet.py"):
        (terminal.project / name).parent.mkdir()
        (terminal.project / name).write_text("x\n")
    assert terminal.type("plan", "init").code == 0
    return terminal.project


def write(project: Path, text: str, name: str = "execplan-count.md") -> str:
    (project / "execplans" / name).write_text(text)
    return f"execplans/{name}"


def test_from_an_empty_repository_to_a_closed_plan(terminal: Terminal, check: Check) -> None:
    assert terminal.type("plan", "list").out == 'No plans in execplans/. Make one with `armarius plan new "Title"`.\n'
    first = terminal.type("plan", "init", "--json").answer
    check(first)
    made = terminal.type("plan", "new", "Count all words", "--json").answer
    check(made)
    assert made["path"] == "execplans/execplan-count-all-words.md"
    again = terminal.type("plan", "new", "Count all words", "--json")
    assert (again.code, again.error["code"]) == (2, "plan-exists")
    told = terminal.type("plan", "check")
    assert (told.code, "P14" in told.out) == (1, True)
    early = terminal.type("plan", "close", "--json")
    assert (early.code, early.error["code"]) == (1, "plan-invalid")
    shown = terminal.type("plan", "show", "count", "--json").answer
    check(shown)
    assert (shown["plan"]["done"], shown["plan"]["steps"]) == (0, 1)
    closed = terminal.type("plan", "close", "--abandon", "there is a tool for it", "--json")
    check(closed.answer)
    assert (closed.code, closed.answer["state"]) == (0, "abandoned")
    listed = terminal.type("plan", "list", "--json").answer
    check(listed)
    assert [plan["state"] for plan in listed["plans"]] == ["abandoned"]
    none = terminal.type("plan", "resume", "--json")
    assert (none.code, none.error["code"]) == (2, "plan-which")


def test_what_is_found_is_said_in_four_forms(terminal: Terminal, project: Path, check: Check) -> None:
    bad = write(project, GOOD.replace("# Count words", "# <Count> words"), "50%,new: plan.md")
    plain = terminal.type("plan", "check")
    assert plain.code == 1
    assert plain.out.splitlines()[0] == f"{bad}:1: error P24: '<Count>' is left to fill in"
    assert plain.out.splitlines()[-1] == "1 plan: 1 errors, 0 warnings"
    answer = terminal.type("plan", "check", "--json")
    check(answer.answer)
    github = terminal.type("plan", "check", "--format", "github").out
    assert github.startswith("::error file=execplans/50%25%2Cnew%3A plan.md,line=1,title=P24 placeholders::'<Count>'")
    sarif = terminal.type("plan", "check", "--format", "sarif")
    assert sarif.code == 1
    (run,) = sarif.answer["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "P24"
    where = result["locations"][0]["physicalLocation"]
    assert (where["artifactLocation"]["uri"], where["region"]) == (
        "execplans/50%25%2Cnew%3A%20plan.md",
        {"startLine": 1},
    )


def test_a_warning_alone_leaves_a_plan_valid(terminal: Terminal, project: Path) -> None:
    write(project, GOOD.replace("by hand", "by hand, as defined previously"))
    done = terminal.type("plan", "check")
    assert (done.code, done.out.splitlines()[-1]) == (0, "1 plan: 0 errors, 1 warnings")
    assert terminal.type("plan", "check", "gone.md").code == 3


def test_no_plan_speaks_to_the_terminal_or_to_github(terminal: Terminal, project: Path) -> None:
    for number, text in enumerate(("\x1b]52;c;eA==\x07", "\u202e", "%0A::error::x", "\r::set-output::x")):
        write(project, GOOD.replace("# Count words", f"# <Count{text}> {text} words"), f"{number}.md")
    for words in (("check",), ("check", "--format", "github"), ("list",)):
        out = terminal.type("plan", *words).out
        assert out
        assert all(each.isprintable() or each == "\n" for each in out)
        assert not any(line.startswith("::") and "execplans/" not in line for line in out.split("\n"))


def test_done_steps_are_proved_by_runs_of_the_ledger(
    terminal: Terminal, project: Path, model: ModelServer, check: Check
) -> None:
    assert model.requests == 0
    missing = terminal.type("plan", "check", write(project, GOOD), "--strict-evidence")
    assert (missing.code, missing.out.count("P23: run_0193aaaa")) == (1, 2)
    ran = terminal.type("run", 'SCRIPT:[{"say": "read it"}]', "--json").answer
    failed = terminal.type("run", 'SCRIPT:[{"fault": "400"}]', "--json").answer
    text = GOOD.replace("run_0193aaaa-0000-7000-8000-000000000001", ran["id"])
    path = write(project, text.replace("run_0193aaaa-0000-7000-8000-000000000002", failed["id"]))
    told = terminal.type("plan", "check", path, "--strict-evidence", "--json").answer
    check(told)
    (found,) = told["plans"][0]["findings"]
    assert (found["rule"], found["severity"], "failed" in found["message"]) == ("P23", "error", True)
    assert terminal.type("plan", "check", path).code == 0, "a claim is enough when nobody asks for proof"
    path = write(project, text.replace("run_0193aaaa-0000-7000-8000-000000000002", ran["id"]))
    assert terminal.type("plan", "check", path, "--strict-evidence").code == 0


def test_a_fresh_agent_is_told_where_the_plan_stands_and_goes_on(
    terminal: Terminal, project: Path, model: ModelServer, check: Check
) -> None:
    path = write(project, GOOD)
    cold = terminal.type("plan", "resume", "--json").answer
    check(cold)
    assert ([run["state"] for run in cold["runs"]], cold["receipt"]) == (["unknown", "unknown"], None)
    assert cold["threads"] == ["0193bbbb-0000-7000-8000-000000000001"]
    assert (cold["next_command"], cold["plan"]["next_step"][:29]) == (
        "armarius plan resume",
        "(2026-01-31 14:10Z) Add the f",
    )
    assert terminal.type("plan", "resume", "--model", "x").code == 2
    done = terminal.type("plan", "resume", "--start", "--json")
    check(done.answer)
    assert (done.code, done.answer["state"], done.answer["sandbox"]) == (0, "succeeded", "read-only")
    asked = json.dumps(model.records[-1].request()["input"])
    assert path in asked
    assert ".agent/PLANS.md" in asked
    assert "Add the flag" in asked
    warm = terminal.type("plan", "resume", "count", "--json").answer
    assert warm["receipt"]["id"] == warm["runs"][0]["id"] == done.answer["id"]
    assert warm["threads"][0] == done.answer["thread_id"]
    assert done.answer["id"] in terminal.type("plan", "resume").out


def test_a_turn_is_held_up_for_a_broken_plan_and_only_once(terminal: Terminal, project: Path) -> None:
    write(project, "# Do a thing\n")
    question = {"cwd": str(project / "src"), "transcript_path": None, "stop_hook_active": False, "session_id": "x"}
    done = terminal.type("plan", "check", "--stop-hook", stdin=json.dumps(question).encode(), folder=project.parent)
    assert done.answer["decision"] == "block"
    assert "execplans/execplan-count.md:1: P02" in done.answer["reason"]
    again = question | {"stop_hook_active": True}
    assert terminal.type("plan", "check", "--stop-hook", stdin=json.dumps(again).encode()).out == ""
    nonsense = terminal.type("plan", "check", "--stop-hook", stdin=b"{")
    assert (nonsense.code, nonsense.out, nonsense.err) == (0, "", "")


def test_the_hook_for_pre_commit_calls_a_command_that_is_there(terminal: Terminal, project: Path) -> None:
    root = Path(__file__).parents[2]
    text = (root / ".pre-commit-hooks.yaml").read_text()
    fields = dict(line.strip(" -").split(": ", 1) for line in text.splitlines() if ": " in line and line[0] != "#")
    program, *words = fields["entry"].split()
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    assert program in scripts
    write(project, "# Do a thing\n", "bad.md")
    write(project, GOOD)
    done = terminal.type(*words, "execplans/execplan-count.md", "execplans/bad.md")
    assert (done.code, done.out.splitlines()[-1][:7]) == (1, "2 plans")
