"""Each rule, both ways: the good plan keeps all of them, and one small change breaks one."""

import itertools
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.plans.check import Repository, check_text
from armarius.plans.rules import RULES, Evidence, Finding, Surroundings

GOOD = Path(__file__).with_name("good_plan.md").read_text(encoding="utf-8")
PLANS_FILE = PurePosixPath(".agent/PLANS.md")
RUNS = {f"run_0193aaaa-0000-7000-8000-00000000000{n}": "succeeded" for n in (1, 2)}
BULLETS = "".join(f"- point {number}\n" for number in range(9))


def places(path: str) -> str:
    there = {"src", "src/greet.py", "tests", "tests/test_greet.py", ".agent", ".agent/PLANS.md"}
    if path in there:
        return "there"
    if path == "link/out.py":
        return "outside"
    return "missing" if path.rpartition("/")[0] in {"", *there} else "no-folder"


def look_up(name: str) -> Evidence | None:
    state = RUNS.get(name) or ("failed" if name.endswith("9") else None)
    return Evidence(name, state, state == "succeeded") if state else None


def surroundings(*, strict: bool = False, adopted: bool = False) -> Surroundings:
    return Surroundings(PLANS_FILE, places, look_up if strict else None, adopted)  # type: ignore[arg-type]  # a table


def found_in(text: str, *, strict: bool = False, adopted: bool = False) -> tuple[Finding, ...]:
    return check_text(text, surroundings(strict=strict, adopted=adopted))[1]


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1, old
    return GOOD.replace(old, new, 1)


def section(title: str, body: str) -> tuple[str, str]:
    """The section of the good plan with this title, and the same with another body."""
    start = GOOD.index(f"## {title}\n")
    end = GOOD.find("\n## ", start)
    return GOOD[start : end + 1], f"## {title}\n\n{body}\n"


def test_the_good_plan_breaks_no_rule_even_when_proof_is_asked_for() -> None:
    assert found_in(GOOD, strict=True) == ()


STEPS = "    $ python src/greet.py --count Ada\n    2\n"
BROKEN = [
    ("P01", "error", "# Count words in the greeting tool", ""),
    ("P01", "error", "# Count words in the greeting tool", "# Plan"),
    ("P01", "error", "# Count words in the greeting tool", "# " + "words and " * 12),
    ("P01", "error", "## Purpose / Big Picture", "# Another title here\n\n## Purpose / Big Picture"),
    ("P02", "error", "This plan is a living document. Its", "The"),
    ("P02", "error", "Decision Log, and Outcomes", "and Outcomes"),
    ("P02", "error", "are kept up to date while the work goes on", "are there"),
    ("P03", "error", "`.agent/PLANS.md`", "`PLANS.md`"),
    ("P03", "error", "It is maintained in accordance with", "There is"),
    ("P04", "error", "## Decision Log", "## Decisions"),
    ("P04", "error", "## Artifacts and Notes", "## Notes"),
    ("P04", "error", "## Plan of Work", "## Progress\n\n## Plan of Work"),
    ("P04", "error", *section("Purpose / Big Picture", "<!-- to come -->")),
    ("P05", "error", "- [x] (2026-01-31 13:00Z) Read", "- [x] Read"),
    ("P05", "error", "(2026-01-31 13:00Z)", "(2026-01-31 13:00)"),
    ("P05", "error", "(2026-01-31 13:00Z)", "(2026-01-31 13:00+02:00)"),
    ("P05", "error", "(2026-01-31 13:00Z)", "(2026-02-30 13:00Z)"),
    ("P05", "error", "(2026-01-31 13:00Z)", "(2026-01-31 15:00Z)"),
    ("P05", "error", "- [x] (2026-01-31 13:00Z)", "- (2026-01-31 13:00Z)"),
    ("P05", "error", "- [ ] (2026-01-31 14:10Z)", "- [~] (2026-01-31 14:10Z)"),
    ("P05", "error", "- [ ] (2026-01-31 14:10Z)", "- [x] (2026-01-31 14:10Z)"),
    ("P05", "error", *section("Progress", "All is well.")),
    ("P05", "warning", "- [ ] (2026-01-31 14:10Z)", "- [ ]"),
    ("P05", "warning", "(completed: the parser; remaining: the help text)", "partially"),
    ("P06", "error", "All steps can", "- [ ] check it\n\nAll steps can"),
    ("P07", "error", "  Rationale: people do not see how many blanks there are.\n", ""),
    ("P07", "error", "  Date/Author: 2026-01-31, the author.\n", ""),
    ("P07", "error", "Rationale: people do not see how many blanks there are.", "Rationale:"),
    ("P07", "error", *section("Decision Log", "We thought a lot about blanks and then went on.")),
    ("P08", "warning", "  Evidence: the output of the first step shows two words for one tab.\n", ""),
    ("P09", "error", "- [ ] (2026-01-31 14:10Z) Add the flag (completed: the parser; remaining: the help text).\n", ""),
    ("P10", "error", "    $ python src/greet.py Ada", "```\n    $ python src/greet.py Ada"),
    ("P11", "warning", "## Plan of Work\n\n", "## Plan of Work\n"),
    ("P11", "warning", "## Milestone 1", "#### Milestone 1"),
    ("P12", "warning", "All steps can", "| a | b |\n|---|---|\n| 1 | 2 |\n\nAll steps can"),
    ("P12", "warning", "All steps can", f"{BULLETS}\nAll steps can"),
    ("P13", "warning", "`tests/test_greet.py`", "`tests/test_gone.py`"),
    ("P13", "error", "`tests/test_greet.py`", "`spec/deep/test_greet.py`"),
    ("P13", "warning", "`tests/test_greet.py`", "`/home/me/test_greet.py`"),
    ("P13", "warning", "`tests/test_greet.py`", "[it](../../other/test_greet.py)"),
    ("P13", "warning", "`tests/test_greet.py`", "`link/out.py`"),
    ("P13", "warning", *section("Plan of Work", "We make it better.")),
    ("P14", "error", STEPS, "Type the command for it and expect two.\n"),
    ("P14", "error", "In the root of the repository, run:", "Run:"),
    ("P14", "error", "    2\n", ""),
    ("P14", "error", *section("Concrete Steps", "")),
    ("P15", "error", *section("Validation and Acceptance", "")),
    ("P15", "error", *section("Validation and Acceptance", "The code in `src/greet.py` compiles.")),
    ("P15", "error", *section("Validation and Acceptance", "Somebody sees that it works.")),
    ("P15", "warning", "expect 4 passed. The", "expect that it passes. The"),
    ("P16", "error", *section("Idempotence and Recovery", "The steps are few.")),
    ("P16", "error", STEPS + "\n", f"{STEPS}    $ rm -rf build\n\n## Spare\n\n"),
    ("P17", "warning", *section("Interfaces and Dependencies", "It needs nothing.")),
    ("P18", "warning", "Today they count by hand.", "The words are used as defined previously."),
    ("P18", "warning", "Today they count by hand.", "See https://docs.python.org/3/ for it."),
    ("P18", "warning", "Today they count by hand.", "The QXF counts them."),
    ("P19", "warning", "At the end of this milestone the function exists and nothing uses it. Run its", "- Its"),
    ("P19", "warning", "exists and nothing uses it. Run its test and see it pass.", "is there."),
    ("P19", "warning", "## Milestone 1: the function", "## Milestone 1: a prototype of the function"),
    ("P20", "warning", "Revision (2026-01-31): split the third step, because the flag turned out to be two.\n", ""),
    ("P20", "warning", ", because the flag turned out to be two.", "."),
    ("P21", "warning", "Today they count by hand.", "Shall I proceed with it?"),
    ("P22", "warning", "## Resume Pointers", "## Pointers"),
    ("P22", "warning", "- Receipt: none\n", ""),
    ("P23", "warning", ", seen in run_0193aaaa-0000-7000-8000-000000000001", ""),
    ("P24", "error", "Today they count by hand.", "Today they <what they do>."),
    ("P24", "error", "Today they count by hand.", "TODO: say what they do."),
    ("P24", "error", "the tool splits at tabs, too.", "…"),
    ("P24", "error", "# Count words in", "# <Verb> words in"),
]


@pytest.mark.parametrize(("rule", "severity", "old", "new"), BROKEN)
def test_one_change_breaks_one_rule(rule: str, severity: str, old: str, new: str) -> None:
    text = changed(old, new)
    if rule == "P16" and "rm -rf" in new:
        text = text.replace("`git restore src` undoes them", "nothing else is needed")
    found = [each for each in found_in(text) if each.rule == rule]
    assert severity in {each.severity for each in found}, f"{rule} did not see it"
    assert {each.severity for each in found} <= {severity}
    assert all(1 <= each.line <= text.count("\n") + 1 for each in found)
    assert all(each.message and each.why and each.fix for each in found)


def test_every_rule_is_shown_to_be_broken() -> None:
    assert {rule for rule, *_ in BROKEN} | {"P00"} == RULES.keys()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(2026-01-31 13:00Z)", "(2026-01-31T13:00Z)"),
        ("(2026-01-31 13:00Z)", "(2026-01-31 13:00:05Z)"),
        ("(2026-01-31 13:00Z)", "(2026-01-31 13:00 UTC)"),
        ("(2026-01-31 13:00Z)", "(2026-01-31 13:00Z, run_0193aaaa-0000-7000-8000-000000000001)"),
        ("## Surprises & Discoveries", "## Surprises and Discoveries"),
        ("## Artifacts and Notes", "## Artefacts and notes ##"),
        ("# Count words in the greeting tool", "Count words in the greeting tool\n================================"),
        ("- Decision: count", "- **Decision:** count"),
        ("  Rationale: people", "  **Rationale**: people"),
        ("Today they count by hand.", "A value in angle brackets, `<name>`, a <br> and <https://localhost/> are none."),
        ("Today they count by hand.", "Open http://localhost:8080/health to see it."),
        ("Today they count by hand.", "Answers are `application/json` from `origin/main` at HTTP/1.1."),
        ("Today they count by hand.", "The RPC (a call of another program) counts."),
        ("Today they count by hand.", "Say `TODO` to see the list … and so on."),
        ("Today they count by hand.", "<!-- TODO <later> - [ ] not read -->They count."),
        ("`tests/test_greet.py`", "`tests/test_greet.py:12`"),
        ("`tests/test_greet.py`", "[the tests](tests/test_greet.py#count)"),
        ("`tests/test_greet.py`", "`new_tests/test_new.py`, which we will create"),
        ("All steps can be repeated; `git restore src` undoes them.", "It is safe to run the steps again."),
        (section("Decision Log", "None yet.")[0], section("Decision Log", "None yet.")[1]),
        (section("Surprises & Discoveries", "")[0], section("Surprises & Discoveries", "")[1]),
    ],
)
def test_what_is_written_differently_breaks_no_rule(old: str, new: str) -> None:
    assert found_in(changed(old, new), strict=True) == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("run_0193aaaa-0000-7000-8000-000000000001", "no run at all", "names no run"),
        ("run_0193aaaa-0000-7000-8000-000000000001", "run_0193ffff-0000-7000-8000-000000000001", "not in the record"),
        ("run_0193aaaa-0000-7000-8000-000000000001", "run_0193ffff-0000-7000-8000-000000000009", "recorded as failed"),
    ],
)
def test_a_claim_without_proof_is_an_error_when_proof_is_asked_for(old: str, new: str, said: str) -> None:
    (found,) = [each for each in found_in(changed(old, new), strict=True) if each.rule == "P23"]
    assert (found.severity, said in found.message) == ("error", True)


def test_an_adopted_plan_needs_the_living_sections_and_is_only_warned_of_the_others() -> None:
    text = changed("## Artifacts and Notes", "## Notes")
    for told in (found_in(text, adopted=True), found_in(f"{text}\n<!-- armarius: adopted -->\n")):
        assert [each.severity for each in told if each.rule == "P04"] == ["warning"]
    living = changed("## Decision Log", "## Decisions")
    assert [each.severity for each in found_in(living, adopted=True) if each.rule == "P04"] == ["error"]


# ------------------------------------------------------------------------- fences


def in_fence(fence: str, text: str) -> str:
    return f"{fence}md\n{text}{fence}\n"


@pytest.mark.parametrize("fence", ["```", "````", "~~~"])
def test_a_plan_in_a_fence_is_checked_inside_and_needs_none_when_it_is_alone(fence: str) -> None:
    alone = found_in(in_fence(fence, GOOD))
    assert [(each.rule, each.line) for each in alone] == [("P10", 1)]
    told = found_in(f"Here is the plan:\n\n{in_fence(fence, GOOD)}\nSay what you think.\n")
    assert told == ()


def test_a_fence_within_a_fenced_plan_is_found_and_the_plan_is_read_to_its_end() -> None:
    inner = changed(STEPS, "```sh\npython src/greet.py\n```\n\n" + STEPS)
    told = found_in(f"Here it is:\n\n{in_fence('```', inner)}")
    assert [each.rule for each in told] == ["P10", "P10"]
    again = found_in(f"Here:\n\n{in_fence('```', GOOD)}\n{in_fence('```', GOOD)}")
    assert [each.rule for each in again] == ["P10"]


def test_a_fence_that_is_never_closed_is_found_where_it_begins() -> None:
    told = found_in(changed("    $ python src/greet.py Ada", "```"))
    assert [each.line for each in told if each.rule == "P10"] == [
        GOOD[: GOOD.index("    $ python src/greet.py Ada")].count("\n") + 1
    ]
    assert [each.rule for each in found_in(f"```md\n{GOOD}")].count("P10") >= 1


# ------------------------------------------------------------------------- hostile plans


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("\x1b]52;c;evil\x07", "U+001B"),
        ("\u202e", "U+202E"),
        ("\x00", "U+0000"),
        ("\u2066", "U+2066"),
        ("\r", "U+000D"),
    ],
)
def test_what_nobody_sees_is_named_and_makes_a_plan_invalid(hidden: str, shown: str) -> None:
    told = [each for each in found_in(changed("by hand", f"by{hidden}hand")) if each.rule == "P00"]
    assert told
    assert (told[0].severity, shown in told[0].message) == ("error", True)
    assert all(each.isprintable() for each in told[0].message)


def test_line_ends_of_windows_and_a_mark_at_the_beginning_break_no_rule() -> None:
    assert found_in("\ufeff" + GOOD.replace("\n", "\r\n")) == ()


def test_a_line_longer_than_anybody_reads_is_told_and_costs_nothing() -> None:
    told = found_in(changed("Today they count by hand.", "<" * 300_000 + " " * 300_000 + "`" * 300_001))
    assert [(each.rule, each.severity) for each in told] == [("P00", "error")]


NASTY = (
    "#",
    "`",
    "```",
    "- [x] ",
    "|",
    "<!--",
    "-->",
    "(",
    "[](",
    "> ",
    "\t",
    "    ",
    "=",
    "x/",
    "../",
    "🜁",
    "(2026-",
    "…",
)


@given(st.lists(st.sampled_from(NASTY), max_size=40).map("".join) | st.text())
def test_no_text_makes_the_check_fail(text: str) -> None:
    assert all(each.rule in RULES for each in found_in(text, strict=True))


@pytest.mark.parametrize("pair", list(itertools.pairwise(NASTY)))
def test_repetition_is_read_in_linear_time(pair: tuple[str, str]) -> None:
    line = "".join(pair) * (7_000 // len("".join(pair)))
    found_in(f"{line}\n" * 20, strict=True)  # an hour, for a pattern that goes back


# ------------------------------------------------------------------------- files


def test_a_file_that_cannot_be_read_is_a_finding_and_hides_no_other(repository: Path) -> None:
    good, latin, big = (repository / "execplans" / f"{name}.md" for name in ("good", "latin", "big"))
    good.write_text(GOOD)
    latin.write_bytes(b"# Caf\xe9 au lait\n")
    big.write_bytes(b"x" * (10 << 20))
    checked = [Repository(repository).check(path) for path in (latin, big, good)]
    assert [plan.valid for plan in checked] == [False, False, True]
    assert [each.rule for plan in checked[:2] for each in plan.findings] == ["P00", "P00"]
    assert "line 1: byte 5" in checked[0].findings[0].message


def test_no_link_is_followed_out_of_the_repository(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("x")
    (repository / "docs").symlink_to(tmp_path)
    (repository / "ring").symlink_to(repository / "ring")
    plan = repository / "execplans" / "plan.md"
    plan.write_text(changed("`tests/test_greet.py`", "`docs/secret.md` and `ring/a.md`"))
    told = [each.message for each in Repository(repository).check(plan).findings if each.rule == "P13"]
    assert ["out of the repository" in each for each in told] == [True, False]
    linked = repository / "execplans" / "linked.md"
    linked.symlink_to(tmp_path / "secret.md")
    (found,) = Repository(repository).check(linked).findings
    assert (found.rule, "link" in found.message) == ("P00", True)
