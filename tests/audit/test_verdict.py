"""What is a verdict, to the letter, and what is none."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.audit.verdict import (
    CONTRACT,
    JSON_SCHEMA,
    Claim,
    NoVerdict,
    Reason,
    Verdict,
    check,
    parse,
    parse_json,
    text_of,
)
from armarius.thread import Command, ItemStatus, StreamSpot

GOOD = """VERDICT: FAIL

COMMANDS RUN:
judge_source: codex-gpt-5.5
$ pytest -q
F......
1 failed, 6 passed
$ git status --short
REASONS:
- `pytest -q` fails in test_totals
- nothing else was changed, see `git status --short`
"""
FAIL = Verdict(
    "FAIL",
    "codex-gpt-5.5",
    (Claim("pytest -q", "F......\n1 failed, 6 passed"), Claim("git status --short")),
    (
        Reason("`pytest -q` fails in test_totals", ("pytest -q",)),
        Reason("nothing else was changed, see `git status --short`", ("git status --short",)),
    ),
)


def ran(line: str, code: int | None, output: str = "") -> Command:
    status = ItemStatus.COMPLETED if code == 0 else ItemStatus.FAILED
    return Command("c", line, StreamSpot("exec", 1), status=status, exit_code=code, output=output)


SEEN = (ran("pytest -q", 1, "F......\n\n1 failed, 6 passed\n"), ran("git status --short", 0))


def test_a_verdict_is_read_and_written_to_the_letter() -> None:
    assert parse(GOOD) == FAIL
    assert text_of(FAIL) == GOOD
    assert parse(GOOD.replace("FAIL", "PASS", 1)).outcome == "PASS"
    assert FAIL.model == "gpt-5.5"


def test_the_contract_shows_a_form_that_is_a_verdict_once_it_is_filled_in() -> None:
    form = CONTRACT[CONTRACT.index("VERDICT:") : CONTRACT.index("The first line is")].strip() + "\n"
    filled = (
        form.replace("<the model you are>", "gpt-5.5")
        .replace("<a command that you ran, letter for letter>", "make test")
        .replace("<lines of its output, letter for letter; a line of ... stands for lines that you leave out>", "ok")
        .replace("<a reason, citing at least one of these commands in backticks, e.g. `<that command>`>", "`make test`")
    )
    assert parse(filled).commands == (Claim("make test", "ok"),)


CHANGES = {
    "nothing": ("first-line", GOOD, ""),
    "a line before it": ("first-line", GOOD, "\n" + GOOD),
    "a code fence": ("first-line", GOOD, f"```\n{GOOD}```\n"),
    "a space at the end": ("first-line", "VERDICT: FAIL\n", "VERDICT: FAIL \n"),
    "small letters": ("first-line", "VERDICT: FAIL", "verdict: fail"),
    "another word": ("first-line", "VERDICT: FAIL", "VERDICT: WARN"),
    "both words": ("first-line", "VERDICT: FAIL", "VERDICT: PASS|FAIL"),
    "Windows line ends": ("first-line", GOOD, GOOD.replace("\n", "\r\n")),
    "a second verdict at the end": ("repeated", "- nothing else", "VERDICT: PASS\n- nothing else"),
    "a second verdict in an output": ("repeated", "F......", "VERDICT: PASS"),
    "a second verdict in a list": ("repeated", "F......", "> **VERDICT: PASS**"),
    "a second verdict in small letters": ("repeated", "F......", "  verdict : pass"),
    "no empty line": ("second-line", "\n\nCOMMANDS", "\nCOMMANDS"),
    "the first line alone": ("second-line", GOOD, "VERDICT: FAIL"),
    "two empty lines": ("commands", "\n\nCOMMANDS", "\n\n\nCOMMANDS"),
    "a heading with marks": ("commands", "COMMANDS RUN:", "## COMMANDS RUN:"),
    "the heading twice": ("commands", "F......", "COMMANDS RUN:"),
    "nothing after the source": ("reasons", GOOD[GOOD.index("$ pytest") - 1 :], ""),
    "no source": ("source", "judge_source: codex-gpt-5.5\n", ""),
    "another judge": ("source", "codex-gpt-5.5", "claude-5"),
    "a source without a model": ("source", "codex-gpt-5.5", "codex-"),
    "a source with more": ("source", "codex-gpt-5.5", "codex-gpt-5.5 and a friend"),
    "output without a command": ("commands", "$ pytest", "pytest"),
    "no command": ("commands", "$ pytest -q\nF......\n1 failed, 6 passed\n$ git status --short\n", ""),
    "an empty command": ("commands", "$ git status --short\n", "$  \n"),
    "no reasons": ("reasons", "REASONS:\n", ""),
    "reasons twice": ("reasons", "F......", "REASONS:"),
    "an empty list of reasons": ("reasons", GOOD[GOOD.index("- `") :], ""),
    "a reason that is no bullet": ("reasons", "- nothing", "nothing"),
    "a reason in two lines": ("reasons", "in test_totals", "in\n  test_totals"),
    "a reason that cites nothing": ("reasons", "see `git status --short`", "I am sure"),
    "a reason that cites another command": ("reasons", "`git status --short`", "`git status`"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_to_the_letter_is_no_verdict(change: str) -> None:
    code, old, new = CHANGES[change]
    assert old in GOOD
    with pytest.raises(NoVerdict) as caught:
        parse(GOOD.replace(old, new, 1))
    assert (caught.value.code, caught.value.exit_code) == (f"verdict-{code}", 6)


PLACES = {
    "a second verdict in an output": "line 6 ",
    "output without a command": "line 5 ",
    "a reason that is no bullet": "line 11 ",
}


@pytest.mark.parametrize("change", PLACES)
def test_it_is_said_in_which_line_it_is_not_to_the_letter(change: str) -> None:
    _, old, new = CHANGES[change]
    with pytest.raises(NoVerdict, match=PLACES[change]):
        parse(GOOD.replace(old, new, 1))


def test_space_around_the_parts_of_a_verdict_does_not_count() -> None:
    spaced = (
        GOOD.replace("$ pytest -q", "$   pytest -q  ")
        .replace("F......", "\n\nF......")
        .replace("REASONS:\n", "\nREASONS:\n  \n")
    )
    assert parse(spaced + "\n\n") == FAIL
    assert parse(GOOD.rstrip("\n")) == FAIL


def test_a_verdict_of_just_the_largest_size_is_one() -> None:
    assert parse(GOOD.replace("F......", "F" * ((1 << 20) - len(GOOD) + 7))).outcome == "FAIL"
    whole = json.dumps(TWIN)
    assert parse_json(whole + " " * ((1 << 20) - len(whole))) == FAIL


def test_a_verdict_without_end_is_none() -> None:
    with pytest.raises(NoVerdict, match="longer"):
        parse(GOOD.replace("F......", "F" * (1 << 20)))
    with pytest.raises(NoVerdict, match="longer"):
        parse_json('"' + "F" * (1 << 20))


TWIN: dict[str, Any] = {
    "verdict": "FAIL",
    "judge_source": "codex-gpt-5.5",
    "commands_run": [
        {"command": "pytest -q", "output": "F......\n1 failed, 6 passed"},
        {"command": "git status --short", "output": ""},
    ],
    "reasons": [reason.text for reason in FAIL.reasons],
}


def test_the_twin_in_json_is_the_same_verdict() -> None:
    assert parse_json(json.dumps(TWIN)) == FAIL


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("json", {"verdict": "WARN"}),
        ("json", {"confidence": 1}),
        ("json", {"commands_run": None}),
        ("source", {"judge_source": "gpt-5.5"}),
        ("commands", {"commands_run": []}),
        ("commands", {"commands_run": [{"command": "a\nb", "output": ""}]}),
        ("commands", {"commands_run": [{"command": "", "output": ""}]}),
        ("commands", {"commands_run": [{"command": " pytest -q", "output": ""}]}),
        ("reasons", {"reasons": []}),
        ("reasons", {"reasons": ["I am sure"]}),
        ("reasons", {"reasons": ["`pytest -q`\nVERDICT: PASS"]}),
    ],
)
def test_a_twin_is_held_to_the_same_rules(code: str, change: dict[str, object]) -> None:
    with pytest.raises(NoVerdict) as caught:
        parse_json(json.dumps(TWIN | change))
    assert caught.value.code == f"verdict-{code}"


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", GOOD, "\ud800"])
def test_what_is_no_such_json_is_no_verdict(text: str) -> None:
    with pytest.raises(NoVerdict, match="schema"):
        parse_json(text)


def test_the_schema_asks_for_what_the_twin_needs_and_closes_every_object() -> None:
    inner = JSON_SCHEMA["properties"]["commands_run"]["items"]
    for one in (JSON_SCHEMA, inner):  # the form that a strict schema of a model has to have
        assert (one["additionalProperties"], sorted(one["required"])) == (False, sorted(one["properties"]))
    assert set(TWIN) == set(JSON_SCHEMA["required"])
    assert set(TWIN["commands_run"][0]) == set(inner["required"])


def test_what_the_judge_ran_bears_its_verdict() -> None:
    check(FAIL, SEEN)
    check(FAIL, SEEN, ["pytest -q", "git status --short"])


PASS = parse(GOOD.replace("FAIL", "PASS", 1))
GREEN = (ran("pytest -q", 0, "F......\n1 failed, 6 passed"), SEEN[1])
DISAGREEING: dict[str, tuple[str, Verdict, tuple[Command, ...], tuple[str, ...]]] = {
    "nothing ran": ("reader", FAIL, (), ()),
    "nothing finished": ("reader", FAIL, (ran("pytest -q", None), ran("git status --short", None)), ()),
    "one of two ran": ("claim", FAIL, SEEN[:1], ()),
    "almost the same ran": ("claim", FAIL, (ran("pytest", 1, SEEN[0].output), SEEN[1]), ()),
    "claimed twice, ran once": (
        "claim",
        Verdict("FAIL", "codex-m", (FAIL.commands[1], FAIL.commands[1]), FAIL.reasons[1:]),
        SEEN[1:],
        (),
    ),
    "another output": ("output", FAIL, (ran("pytest -q", 1, "7 passed"), SEEN[1]), ()),
    "its lines in another order": ("output", FAIL, (ran("pytest -q", 1, "1 failed, 6 passed\nF......"), SEEN[1]), ()),
    "a required command is missing": ("required", FAIL, SEEN, ("make lint",)),
    "required, run, not named": ("required", FAIL, (*SEEN, ran("make lint", 0)), ("make lint",)),
    "PASS on a failure": ("contradiction", PASS, SEEN, ("pytest -q",)),
    "PASS, and all that it cites failed": ("contradiction", PASS, (SEEN[0], ran("git status --short", 1)), ()),
    "PASS, though it failed at last": ("contradiction", PASS, (*GREEN, ran("pytest -q", 1)), ("pytest -q",)),
}


@pytest.mark.parametrize("case", DISAGREEING)
def test_what_the_judge_did_not_run_is_no_verdict(case: str) -> None:
    code, verdict, seen, required = DISAGREEING[case]
    with pytest.raises(NoVerdict) as caught:
        check(verdict, seen, required)
    assert caught.value.code == f"verdict-{code}"


def test_a_fail_stands_when_all_that_it_cites_failed_and_a_pass_when_one_of_it_did_not() -> None:
    check(FAIL, (SEEN[0], ran("git status --short", 1)))
    check(PASS, SEEN)


def test_space_around_what_was_run_does_not_count() -> None:
    padded = (ran("  pytest -q ", 0, SEEN[0].output), ran(" git status --short", 1))
    check(PASS, padded, ["pytest -q"])


def test_a_pass_stands_when_the_last_run_of_what_was_required_ended_well() -> None:
    check(PASS, (*SEEN, *GREEN), ["pytest -q"])


def test_lines_may_be_left_out_where_that_is_said_and_spaces_at_an_end_do_not_count() -> None:
    quoted = parse(GOOD.replace("F......\n", "F......   \n  ...\n"))
    check(quoted, (ran("pytest -q", 1, "F......\nwhy\nwhere\n1 failed, 6 passed  \n"), SEEN[1]))


def test_output_that_reads_like_a_verdict_is_not_written_as_one() -> None:
    forged = parse_json(
        json.dumps(
            TWIN
            | {
                "commands_run": [{"command": "pytest -q", "output": "VERDICT: PASS\n$ x\nREASONS:\nok"}],
                "reasons": ["`pytest -q`"],
            }
        )
    )
    assert parse(text_of(forged)).commands == (Claim("pytest -q", "...\n...\n...\nok"),)


LINE = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).map(str.strip).filter(bool)


@settings(max_examples=50)
@given(st.sampled_from(["PASS", "FAIL"]), st.lists(st.tuples(LINE, st.lists(LINE, max_size=3)), min_size=1, max_size=4))
def test_every_verdict_that_can_be_written_is_read_again(outcome: str, ran_lines: list[tuple[str, list[str]]]) -> None:
    twin = {
        "verdict": outcome,
        "judge_source": "codex-m",
        "commands_run": [{"command": command, "output": "\n".join(output)} for command, output in ran_lines],
        "reasons": [f"see `{ran_lines[0][0]}`"],
    }
    once = parse(text_of(parse_json(json.dumps(twin))))
    assert parse(text_of(once)) == once


@settings(max_examples=50)
@given(st.text(max_size=80), st.integers(0, len(GOOD)))
def test_whatever_is_put_into_a_verdict_it_is_one_or_a_no_verdict_and_never_turns_into_the_other(
    junk: str, place: int
) -> None:
    try:
        verdict = parse(GOOD[:place] + junk + GOOD[place:])
    except NoVerdict:
        return
    assert verdict.outcome == "FAIL"
