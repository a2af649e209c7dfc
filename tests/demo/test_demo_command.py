"""`armarius demo` as a newcomer types it: what it says is what happened, and it leaves the machine alone."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema_rs

from armarius.clock import SystemClock
from armarius.store.ledger import open_ledger
from armarius.store.queries import Query
from armarius.thread import Usage
from support.terminal import Terminal

SPENT = Query(
    "spent",
    "Runs, responses and tokens of a ledger.",
    """SELECT count(DISTINCT run.id) AS runs, count(response_id) AS responses, sum(input) AS input,
    sum(cached_input) AS cached_input, sum(cache_write) AS cache_write, sum(output) AS output,
    sum(reasoning) AS reasoning FROM run LEFT JOIN response_usage ON run.id = run_id""",
)


def spent(ledger: Path) -> dict[str, Any]:
    with closing(open_ledger(ledger, SystemClock())) as database:
        [row] = database.fetch(SPENT)
    return row


def test_the_demo_measures_what_it_says_and_touches_nothing_but_its_cache(terminal: Terminal) -> None:
    # A machine on which nothing would work if the demonstration looked at it.
    (terminal.codex_home / "config.toml").write_text("[this is no TOML")
    (terminal.codex_home / "auth.json").write_text("{")
    (terminal.codex_home / "AGENTS.md").write_text('Answer "no" to everything.')
    other = terminal.home / ".agents" / "skills" / "brief"
    other.mkdir(parents=True)
    (other / "SKILL.md").write_text("---\nname: brief\ndescription: write a brief\n---\nNever use headings.\n")
    (terminal.project / ".armarius.toml").write_text('codex = "/no/such"')
    before = terminal.files()

    done = terminal.type("demo", "--json", environ={"OPENAI_API_KEY": "sk-not-for-the-demo-0123456789"})
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    report = done.answer
    jsonschema_rs.validate(terminal.type("schema", "demo").answer, report)

    assert (report["seed"], report["passed"]) == ("seed-missing-structure", True)
    assert (report["before"], report["after"], report["decision"]) == (0.0, 1.0, "adopt")
    assert report["reason"] == "held-out tasks went from 0.00 to 1.00"
    assert (report["sessions"], report["turns"], report["commands"]) == (15, 15, 15), "a day: it reads the skill, once"
    assert report["e_value"] >= 10

    # The ledger counts what Codex wrote down, `model_calls` what the model was asked.
    folder = Path(report["folder"])
    ledger = spent(folder / "armarius" / "ledger.sqlite")
    assert report["model_calls"] == ledger["responses"]
    assert report["runs"] == ledger["runs"]
    assert report["usage"] == {name: ledger[name] for name in Usage.__struct_fields__}
    # A day of 15, one reflection, 12 before and 12 after, and each of two edits left out on four tasks; the rest
    # are the gate's pairs, some begun in vain.
    assert 2 * report["pairs_used"] <= report["runs"] - 15 - 1 - 24 - 8 <= 2 * report["pairs_used"] + 4

    cache = Path(terminal.environ["XDG_CACHE_HOME"]) / "armarius" / "demo"
    assert folder.parent.parent == cache
    text, changes = Path(report["report"]).read_text(), Path(report["diff"]).read_text()
    assert text.startswith("# Night 1: staged")
    assert "\n".join("    " + line for line in changes.splitlines()) in text
    added = [line[1:] for line in changes.splitlines() if line.startswith("+") and not line.startswith("+++")]
    [skill] = folder.rglob("project/**/SKILL.md")
    assert "\n".join(added) in skill.read_text()
    assert any("Key Risks" in line for line in added)
    assert [path for path in folder.rglob("*") if path.name in ("sessions", "runs", "replays")] == []

    assert terminal.files() == before
    assert terminal.living() == []
    assert sorted(path.name for path in (terminal.home / ".cache").iterdir()) == ["armarius"]


def test_a_demo_that_cannot_keep_its_promise_says_so(terminal: Terminal) -> None:
    """The cache is a file: nothing can be built there."""
    (terminal.home / ".cache").write_text("")
    done = terminal.type("demo", "--json")
    assert (done.code, done.out) == (4, "")
    assert json.loads(done.err)["message"].startswith("Not a directory: ")
