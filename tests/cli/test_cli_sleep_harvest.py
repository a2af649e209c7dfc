"""From sessions to a task file and a plan, as it is typed: nothing is run and nothing is sent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.testing import benchmarks
from armarius.testing.conversation import Conversation
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply, Say
from support.session_writer import Asked, Session
from support.terminal import Terminal

SEED = benchmarks.load("seed-missing-structure")
SECTION = ' Add a "Key Risks" section.'
ALWAYS = ("--lookback-hours", "0")
Check = Callable[[Any], None]


@pytest.fixture
def worked(terminal: Terminal) -> Terminal:
    """A machine on which somebody asked for briefs in eleven sessions, and for other things."""
    for number, task in enumerate(SEED.training[:10]):
        answer = Asked(prompt=task.task + SECTION, answer="A brief.", tokens=3_000)
        later = Asked(prompt="you forgot the Key Risks section") if number < 4 else Asked(prompt="thanks")
        Session(number, cwd=terminal.project).ask(answer, later).write(terminal.codex_home)
    for number in (20, 21):
        asked = Asked(prompt=f"Explain why the build of {number} is slow", tokens=9_000)
        Session(number, cwd=terminal.project).ask(asked).write(terminal.codex_home)
    once = Session(30, cwd=terminal.project, source="vscode").ask(Asked(prompt="Rename the module of dates to days"))
    once.write(terminal.codex_home)
    secret = Asked(prompt=f"Write a brief on a leaked token ghp_{'a1B2' * 9} in the log.{SECTION}")
    Session(31, cwd=terminal.project).ask(secret).write(terminal.codex_home)
    return terminal


def test_a_harvest_finds_what_recurs_with_its_evidence_and_asks_for_the_rest(worked: Terminal, check: Check) -> None:
    with ModelServer() as server:
        worked.serve(server)
        done = worked.type("sleep", "harvest", *ALWAYS, "--json")
        assert server.requests == 0
    check(done.answer)
    assert (done.code, done.err) == (0, "")
    found, file = done.answer["found"], done.answer["file"]
    assert (found["source"], found["sessions"], found["kinds"], found["once"]) == ("codex", 14, 2, 1)
    assert (file["reviewed"], len(file["tasks"])) == (False, 11)
    for task in file["tasks"]:
        assert task["judge"]["checks"] == [{"op": "section_present", "arg": "Key Risks"}]
        assert (task["origin"]["turns"], task["origin"]["wrong"]) == (11, 4)
    [draft] = file["drafts"]
    assert draft["asks"].startswith("a check:")
    assert "ghp_" not in done.out


def test_what_was_written_must_be_reviewed_before_a_model_sees_it(worked: Terminal) -> None:
    worked.install(SEED.skill)
    written = worked.type("sleep", "harvest", *ALWAYS, "--output", "mined.json")
    assert (written.code, written.out.splitlines()[-1]) == (0, "written to mined.json; nobody has reviewed it yet")
    night = ("sleep", "run", "--tasks-file", "mined.json", "--target-skill-path", ".agents/skills/writer")
    refused = worked.type(*night, "--backend", "codex")
    assert (refused.code, "not marked as reviewed" in refused.err) == (5, True)
    again = worked.type("sleep", "harvest", *ALWAYS, "--output", "mined.json")
    assert again.code == 0, "an unreviewed file may be written anew"
    file = worked.project / "mined.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"reviewed": True}))
    kept = worked.type("sleep", "harvest", *ALWAYS, "--output", "mined.json")
    assert (kept.code, "was reviewed by a person" in kept.err) == (5, True)
    assert worked.type(*night, "--json").answer["reviewed"] is True
    (worked.project / "notes.txt").write_text("mine")
    assert worked.type("sleep", "harvest", *ALWAYS, "--output", "notes.txt").code == 3
    assert (worked.project / "notes.txt").read_text() == "mine"


def test_a_dry_run_says_what_would_be_mined_replayed_sent_and_detected(worked: Terminal, check: Check) -> None:
    worked.configure("http://127.0.0.1:9/v1")
    done = worked.type("sleep", "dry-run", *ALWAYS, "--json", environ={"ARMARIUS_CODEX": "/no/such"})
    check(done.answer)
    plan = done.answer
    assert (done.code, plan["backend"], plan["reviewed"]) == (0, "mock", False)
    assert plan["train_tasks"] + plan["held_out_tasks"] == 11
    assert plan["runs"]["most"] == plan["train_tasks"] + 2 + 4 * plan["held_out_tasks"] + 16, "naming, and a reflection"
    assert plan["tokens"]["most"] == plan["runs"]["most"] * 2_818
    assert plan["rests_on"].startswith("tokens: what this work took in your sessions; minutes: the median turn")
    assert plan["detects"]["held_out"] == plan["held_out_tasks"]
    assert [one["times"] for one in plan["sent"]] == [1, plan["runs"]["most"] - 2, 1]
    assert plan["verdict"].startswith(f"{plan['held_out_tasks']} held-out tasks can certify tonight")
    told = worked.type("sleep", "dry-run", *ALWAYS).out
    assert f"{plan['train_tasks']} training tasks, {plan['held_out_tasks']} held out; nothing was run or sent" in told
    assert worked.type("sleep", "run", *ALWAYS).out == told, "a mock night without a file is the same plan"


def test_three_tasks_cannot_certify_and_that_is_said_beforehand(worked: Terminal) -> None:
    done = worked.type("sleep", "dry-run", *ALWAYS, "--max-tasks", "3")
    assert (done.code, "cannot certify" in done.out.splitlines()[-1]) == (0, True)
    assert done.out.splitlines()[-1].endswith("the evidence is carried on")


def test_a_task_file_opens_no_session(worked: Terminal, check: Check) -> None:
    worked.write_tasks(SEED.training[:2], SEED.training[2:8])
    (worked.codex_home / "sessions").rename(worked.home / "elsewhere")
    (worked.codex_home / "sessions").symlink_to("/dev/null")
    done = worked.type("sleep", "dry-run", "--tasks-file", "tasks.json", "--json")
    check(done.answer)
    assert (done.code, done.answer["found"], done.answer["held_out_tasks"]) == (0, None, 6)
    assert not worked.state.exists(), "neither an index nor a cache was made"


@pytest.mark.parametrize(
    ("flags", "source", "sessions", "says"),
    [
        ((), "claude", 1, True),
        (("--source", "codex"), "codex", 0, False),
        (("--source", "claude", "--codex-home", "."), "claude", 1, False),
        (("--codex-home", "."), "codex", 0, False),
        (("--codex-home", ".", "--claude-home", "../other"), "claude", 1, True),
    ],
)
def test_sessions_are_those_of_the_source_that_was_named(
    terminal: Terminal, flags: tuple[str, ...], source: str, sessions: int, *, says: bool
) -> None:
    said: dict[str, object] = {"type": "user", "sessionId": "1" * 8, "cwd": str(terminal.project), "uuid": "u1"}
    said |= {"version": "2.1.0", "timestamp": "2026-11-20T10:00:00.000Z"}
    said |= {"message": {"role": "user", "content": "Write a brief on pricing"}}
    for home in (terminal.home / ".claude", terminal.project.parent / "other"):
        (home / "projects" / "-x").mkdir(parents=True)
        (home / "projects" / "-x" / f"{'1' * 8}-2222-4333-8444-555555555555.jsonl").write_text(json.dumps(said) + "\n")
    found = terminal.type("sleep", "harvest", *ALWAYS, *flags, "--json").answer
    assert (found["found"]["source"], found["found"]["sessions"]) == (source, sessions)
    assert ("so the sessions of Claude Code are taken" in str(found)) is says


def test_nothing_in_the_window_is_told_with_the_way_out(terminal: Terminal) -> None:
    Session(1, cwd=terminal.project).ask(Asked(prompt="Write a brief on x")).write(terminal.codex_home)
    Session(2, cwd=terminal.home).ask(Asked(prompt="Write a brief on y")).write(terminal.codex_home)
    done = terminal.type("sleep", "harvest", "--lookback-hours", "0.001")
    assert (done.code, done.out.splitlines()) == (
        0,
        [
            "0 sessions of codex in the last 0.001 hours, 0 requests",
            "  left out 2: before the time that was asked for",
            "try --lookback-hours 0, --source claude, or another --project",
        ],
    )
    done = terminal.type("sleep", "harvest", *ALWAYS)
    assert "  left out 1: of another project" in done.out.splitlines()


class Namer:
    """A model that names kinds of work, as it is told, and says what it was shown."""

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self.prompts = list[str]()

    def __call__(self, conversation: Conversation) -> Reply:
        self.prompts.append(conversation.task)
        return Reply((Say(self._answer),))


NAMED = {"op": "contains", "text": "rain", "number": None, "because": "k1 says so"}
WRONG = [NAMED | {"text": "snow"}, NAMED | {"op": "regex", "text": "("}, NAMED | {"op": "regex", "text": ".*"}]


def kinds(name: str, *checks: dict[str, Any]) -> str:
    return json.dumps({"kinds": [{"kind": name, "name": "weather", "checks": checks}]})


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ("no JSON", "tasks-none", "3 sessions gave no task with a usable check: 1 kinds of work recur, 1 of them ask"),
        (kinds("k1", *WRONG), "tasks-none", "3 sessions gave no task"),
        (kinds("k9", NAMED), "tasks-none", "3 sessions gave no task"),
        (kinds("k1", NAMED), "tasks-few", "0 held-out tasks cannot certify"),
    ],
)
def test_the_optimizer_of_a_real_night_adds_only_checks_that_the_sessions_bear_out(
    terminal: Terminal, answer: str, code: str, says: str
) -> None:
    token = "ghp_" + "a1B2" * 9
    for number in range(3):
        asked = Asked(prompt=f"Explain the weather of week {number} ``` {token}", answer="There is rain.")
        Session(number, cwd=terminal.project).ask(asked).write(terminal.codex_home)
    namer = Namer(answer)
    with ModelServer(namer) as server:
        terminal.serve(server)
        done = terminal.type("sleep", "run", "--backend", "codex", "--json", "--max-tasks", "1", *ALWAYS)
    done = msgspec.structs.replace(done, err=done.err.splitlines()[-1])
    assert (done.code, done.error["code"], says in done.error["message"]) == (3, code, True)
    [prompt] = namer.prompts
    assert prompt.startswith("ARMARIUS NAMING v1")
    assert "There is rain." in prompt
    assert token not in prompt
    assert prompt.count("```") == 2


def test_without_a_target_a_night_is_for_what_the_project_has_learned(terminal: Terminal, model: ModelServer) -> None:
    terminal.serve(model)
    terminal.write_tasks(SEED.training[:2], ())
    night = ("sleep", "run", "--tasks-file", "tasks.json", "--gate", "off", "--json")
    learned = terminal.project / ".agents" / "skills" / "armarius-learned" / "SKILL.md"
    assert (terminal.type(*night).code, learned.exists()) == (0, False), "a plan makes nothing"
    done = terminal.type(*night, "--backend", "codex")
    assert (done.code, done.answer["state"], done.answer["target"]) == (0, "staged", str(learned))
    assert done.err == f"made {learned}, which says nothing yet\n"
    empty = learned.read_bytes()
    assert terminal.type("sleep", "adopt").code == 0
    assert b"Key Risks" in learned.read_bytes()
    assert (terminal.type("sleep", "rollback").code, learned.read_bytes()) == (0, empty)


def test_a_skill_that_is_gone_is_no_target_any_more_though_no_session_changed(terminal: Terminal) -> None:
    skill = terminal.install(SEED.skill)
    for number in range(2):
        asked = Asked(prompt=f"Say how it is in week {number}", ran=((f"cat {skill}", 0),))
        Session(number, cwd=terminal.project).ask(asked).write(terminal.codex_home)
    plan = ("sleep", "dry-run", "--json", *ALWAYS)
    assert terminal.type(*plan).answer["target"] == str(skill)
    skill.unlink()
    done = terminal.type(*plan)
    assert (done.code, done.answer["target_exists"]) == (0, False)
    assert done.answer["target"].endswith("/armarius-learned/SKILL.md")


@pytest.mark.parametrize(("typed", "keeps"), [(("--tasks-file", "tasks.json"), True), ((), False)])
def test_a_file_keeps_the_target_of_its_harvest_unless_a_project_brought_it(
    terminal: Terminal, typed: tuple[str, ...], *, keeps: bool
) -> None:
    mine = terminal.home / ".agents" / "skills" / "mine" / "SKILL.md"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(SEED.skill)
    file = terminal.write_tasks(SEED.training[:1], ())
    note = {"project": "/p", "source": "codex", "sessions": 2, "turns": 2, "at": "now", "target": str(mine)}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"harvest": note}))
    (terminal.project / ".armarius.toml").write_text('tasks = "tasks.json"\n')
    learned = terminal.project / ".agents" / "skills" / "armarius-learned" / "SKILL.md"
    plan = terminal.type("sleep", "dry-run", "--json", *typed)
    assert (plan.answer["target"], plan.answer["target_exists"]) == (str(mine if keeps else learned), keeps)
    done = terminal.type("sleep", "run", "--backend", "codex", *typed)
    assert (done.code, "cannot certify any candidate" in done.err) == (3, True)
    assert not learned.parent.parent.exists(), "a refusal leaves nothing behind"


def test_the_learned_skill_is_made_in_the_project_or_nowhere(terminal: Terminal, tmp_path: Path) -> None:
    terminal.write_tasks(SEED.training[:2], SEED.training[2:8])
    (terminal.project / ".agents").symlink_to(tmp_path)
    done = terminal.type("sleep", "run", "--tasks-file", "tasks.json", "--backend", "codex", "--json")
    assert (done.code, done.error["code"], (tmp_path / "skills").exists()) == (5, "target-outside", False)


def test_tasks_of_skillopt_are_read_and_what_has_no_check_is_a_draft(terminal: Terminal, check: Check) -> None:
    terminal.install(SEED.skill)
    rule = {"reference_kind": "rule", "judge": {"kind": "rule", "checks": [{"op": "contains", "arg": "Risks"}]}}
    tasks: list[dict[str, Any]] = [
        {"id": f"task_{n}", "intent": f"Write about {n}", "split": split, **rule}
        for n, split in enumerate(["train", "val", "test", "holdout", "replay"])
    ]
    tasks += [
        {"id": "task_x", "intent": "Say five", "reference_kind": "exact", "reference": "5", "split": "val"},
        {
            "id": "task_y",
            "intent": "Say more",
            "reference_kind": "rubric",
            "reference": "It says more.",
            "split": "val",
        },
        {"id": "task_z", "intent": "Say nothing", "reference_kind": "none"},
    ]
    file = terminal.project / "theirs.json"
    whole: dict[str, Any] = {"format": "skillopt_sleep.tasks.v1", "reviewed": "yes", "tasks": tasks}
    file.write_text(json.dumps(whole))
    words = ("sleep", "dry-run", "--tasks-file", "theirs.json", "--json")
    plan = terminal.type(*words).answer
    check(plan)
    assert (plan["train_tasks"], plan["held_out_tasks"], plan["reviewed"]) == (2, 5, False)
    file.write_text(json.dumps(whole | {"reviewed": True}))
    assert terminal.type(*words).answer["reviewed"] is True
    file.write_text(json.dumps(tasks))
    assert (terminal.type(*words).code, terminal.type(*words).answer["reviewed"]) == (0, False)
    tasks[1]["judge"] = {"kind": "rule", "checks": [{"op": "contians", "arg": "x"}]}
    file.write_text(json.dumps(whole | {"tasks": tasks}, indent=1))
    done = terminal.type(*words)
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "contians" in text)
    assert (done.code, done.error["message"].startswith(f"theirs.json:{line}:")) == (3, True)
    assert done.error["hint"] == "did you mean 'contains'?"


@pytest.mark.parametrize(
    ("checks", "split", "certifies"),
    [
        ([{"op": "max_chars", "arg": 9}], None, False),
        ([{"op": "max_chars", "arg": 9}], "held_out", True),
        ([{"op": "max_chars", "arg": 9}, {"op": "contains", "arg": "x"}], None, True),
    ],
)
def test_checks_of_form_alone_certify_only_what_was_held_out_by_its_author(
    terminal: Terminal,
    checks: list[Any],
    split: str | None,
    certifies: bool,  # noqa: FBT001 - a table
) -> None:
    words = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kea", "lynx")
    texts = [f"Describe {word} briefly" for word in words]
    rows = [
        {"task_id": f"t{n}", "task": text, "judge": {"kind": "rule", "checks": checks}}
        | ({"split": split} if split and n else {})
        for n, text in enumerate(texts)
    ]
    (terminal.project / "t.json").write_text(
        json.dumps({"schema": "armarius.tasks.v1", "reviewed": True, "tasks": rows})
    )
    plan = terminal.type("sleep", "dry-run", "--tasks-file", "t.json", "--json").answer
    assert (plan["held_out_tasks"] > 0) is certifies
    assert (plan["certifies"] is not None) is certifies
    assert all("form of an answer alone" in why for why in plan["uncertifiable"].values())
    assert bool(plan["uncertifiable"]) is not certifies


def test_history_and_explanations_of_no_night_say_so(terminal: Terminal, check: Check) -> None:
    answer = terminal.type("sleep", "history", "--json").answer
    check(answer)
    assert answer["nights"] == []
    assert terminal.type("sleep", "history").out == "No night yet. Plan one with `armarius sleep dry-run`.\n"
    assert terminal.type("sleep", "explain").code == 3
    assert terminal.type("sleep", "explain", "night_x").code == 3


def test_a_gate_plan_and_recorded_pairs_are_answered(terminal: Terminal, tmp_path: Path, check: Check) -> None:
    plan = terminal.type("gate", "plan", "--tasks", "10", "--json")
    check(plan.answer)
    assert [one["held_out"] for one in plan.answer["plans"]] == [10]
    rows: list[dict[str, Any]] = [
        {"experiment": "e", "night": 1, "task": f"t{n}", "baseline": 0.0, "candidate": 1} for n in range(6)
    ]
    rows.insert(2, rows[0] | {"candidate": None})
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    done = terminal.type("gate", "replay", str(file), "--json")
    check(done.answer)
    [one] = done.answer["experiments"]
    assert one.keys() == {"experiment", "decision", "e_value", "pairs_used", "pairs_ignored"}
    assert (one["experiment"], one["decision"], one["pairs_used"], one["pairs_ignored"]) == ("e", "adopt", 6, 1)
    assert terminal.type("gate", "replay", "-", "--json", stdin=file.read_bytes()).answer == done.answer
    assert terminal.type("gate", "replay", str(tmp_path / "none.jsonl")).code == 3
    assert terminal.type("gate", "replay", str(tmp_path)).code == 3
