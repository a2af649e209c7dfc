"""Reports on runs, decisions about them, and the check of it all, as they are typed."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.audit.run_report import ReportedRun, RunsReport, as_html, as_markdown, renewed, report_on
from armarius.errors import DataError, Refused
from armarius.plans.evidence import evidence_of
from armarius.runs.decisions import decide, decision_of
from armarius.runs.receipts import RECEIPT
from armarius.runs.records import find_run
from armarius.testing.clock import FakeClock
from armarius.testing.model_server import ModelServer
from support.recorded import Recorded
from support.run_world import script
from support.terminal import Terminal

EVIL = (
    "<!-- armarius:end evidence -->\n<script>alert(1)</script> ``` | `x` [link](http://evil) <img src=x onerror=y>"
    "\x1b]52;c;eA==\x07 \u202e sk-" + "a" * 40
)


def reported(recorded: Recorded, *numbers: int) -> RunsReport:
    with recorded.world.ledger() as ledger:
        runs = [find_run(ledger, recorded.runs[number].id) for number in numbers]
        return report_on(ledger, recorded.world.state, runs)


def evil_report() -> RunsReport:
    run = ReportedRun(
        id="run_x",
        state="succeeded",
        role="worker",
        cwd=EVIL,
        decided=None,
        problem=EVIL,
        answer=EVIL,
        receipt=None,
        receipt_sha256=None,
        changes=(),
    )
    return RunsReport(is_intact=True, head="sha256:0", runs=(run,))


def test_a_report_says_what_is_proven(recorded: Recorded) -> None:
    report = reported(recorded, 1, 2)
    text = as_markdown(report)
    assert (report.is_intact, [run.decided for run in report.runs]) == (True, ["accepted", None])
    assert "run\\_" not in text.split("###")[1].split("\n")[0]
    for said in ("succeeded, accepted", "made.txt", "sandbox | asked workspace-write, seen workspace-write", "failed"):
        assert said in text
    page = as_html(report)
    assert "<li>made.txt</li>" in page


def test_a_report_on_what_was_changed_says_so(recorded: Recorded) -> None:
    (Path(recorded.runs[0].folder) / RECEIPT).write_text("{}")
    report = reported(recorded, 0)
    assert not report.is_intact
    assert "**changed**" in as_markdown(report)
    assert "receipt-edited" in as_html(report)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen = set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not attrs


def test_what_an_agent_said_is_never_markup_a_mark_or_a_secret() -> None:
    report = evil_report()
    page = _Tags()
    page.feed(as_html(report))
    assert page.seen <= {"p", "code", "section", "h3", "h4", "table", "tr", "th", "td", "pre"}
    for form in ("md", "html"):
        text = renewed(None, report, form)
        assert text.count("<!-- armarius:end evidence -->") == 1
        assert "sk-aaaa" not in text
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
        assert renewed(text, report, form) == text


@given(before=st.text(), after=st.text())
def test_what_a_person_wrote_around_the_evidence_stays_as_it_is(before: str, after: str) -> None:
    draft = renewed(None, evil_report(), "md")
    block = draft[draft.index("<!-- armarius:begin") : draft.rindex("end evidence -->") + len("end evidence -->")]
    older = RunsReport(is_intact=False, head="older", runs=())
    written = f"{before}{renewed(block, older, 'md')}{after}"
    if written.count("<!-- armarius:") == 2:
        assert renewed(written, evil_report(), "md") == f"{before}{block}{after}"


@pytest.mark.parametrize("cut", ["<!-- armarius:begin evidence -->", "<!-- armarius:end evidence -->"])
def test_a_report_whose_marks_are_broken_is_left_alone(cut: str) -> None:
    text = renewed(None, evil_report(), "md")
    for broken in (text.replace(cut, ""), text + cut, ""):
        with pytest.raises(DataError):
            renewed(broken, evil_report(), "md")


def test_a_decision_is_recorded_and_the_last_one_counts(recorded: Recorded) -> None:
    with recorded.world.ledger() as ledger:
        good, bad = (find_run(ledger, recorded.runs[number].id) for number in (0, 2))
        assert decision_of(ledger, good.id) is None
        for decided in ("needs_review", "accepted", "rejected"):
            decide(ledger, FakeClock(), good, decided, by="me", reason="sk-" + "b" * 40)
        assert decision_of(ledger, good.id) == "rejected"
        with pytest.raises(Refused):
            decide(ledger, FakeClock(), bad, "accepted", by="me", reason="")
    kept = sorted(Path(good.folder).glob("decision-*.json"))
    assert [json.loads(path.read_bytes())["decided"] for path in kept] == ["needs_review", "accepted", "rejected"]
    assert "sk-bbbb" not in kept[0].read_text()
    assert reported(recorded, 0).is_intact


def test_a_plan_is_proven_by_a_receipt_that_is_as_it_was_recorded(recorded: Recorded) -> None:
    def good(number: int) -> bool:
        with recorded.world.ledger() as ledger:
            found = evidence_of(ledger, recorded.runs[number].id)
        return found is not None and found.is_good

    assert [good(0), good(1), good(2)] == [True, True, False]
    first = Path(recorded.runs[0].folder) / RECEIPT
    shutil.copyfile(Path(recorded.runs[1].folder) / RECEIPT, first)
    assert not good(0)
    with recorded.world.ledger() as ledger:
        run = find_run(ledger, recorded.runs[1].id)
        decide(ledger, FakeClock(), run, "rejected", by="me", reason="")
    assert not good(1)


def test_the_commands_agree(tmp_path: Path, private_home: dict[str, str], server: ModelServer) -> None:
    terminal = Terminal(tmp_path, private_home)
    terminal.serve(server)
    ran = terminal.type("run", "--json", "--require", "true", script({"say": "done"})).answer["id"]
    assert terminal.type("runs", "accept", ran, "--reason", "it does").code == 0
    assert "succeeded, accepted" in terminal.type("runs", "list").out
    assert f"{ran}  succeeded, accepted" in terminal.type("runs", "show", ran).out
    out = terminal.project / "report.md"
    assert terminal.type("report", ran, "-o", str(out), "--folder", "papers").code == 0
    text = out.read_text().replace("What is left.", "My own words.")
    out.write_text(text)
    papers = sorted(
        str(path.relative_to(terminal.project / "papers")) for path in (terminal.project / "papers").rglob("*.*")
    )
    assert papers == sorted(
        (
            f"artifacts/{ran}.answer.md",
            f"artifacts/{ran}.receipt.json",
            f"logs/{ran}.jsonl",
            f"logs/{ran}.required-1.log",
            f"logs/{ran}.stderr.log",
            f"prompts/{ran}.md",
        )
    )
    head = terminal.type("audit", "verify", "--json").answer["head"]
    assert terminal.type("audit", "verify", "--run", ran, "--head", head).code == 0
    (terminal.state / "runs" / ran / "1" / "prompt").write_text("forged")
    failed = terminal.type("audit", "verify")
    assert (failed.code, "artefact-edited" in failed.out, "1 change" in failed.out) == (1, True, True)
    assert terminal.type("report", ran, "-o", str(out)).code == 1
    assert "My own words." in out.read_text()
    assert "artefact-edited" in out.read_text()
