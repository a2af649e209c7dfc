"""The skeleton that OpenAI publishes (cookbook, `articles/codex_exec_plans.md`): empty, it is told what is missing;
filled in, it breaks no rule.

Its form is kept here (the title and headings, their order, the forms of each list, the placeholders, the indented
code), and its sentences are written anew. Findings on the published text are the same.
"""

from collections import Counter
from pathlib import PurePosixPath

from armarius.plans.check import check_text
from armarius.plans.rules import Place, Surroundings

SKELETON = """\
# <Short, action-oriented description>

This ExecPlan is a living document. `Progress`, `Surprises & Discoveries`, `Decision Log`, and
`Outcomes & Retrospective` must be kept up to date while the work goes on.

Where the rules for plans are checked in, say here where they stand.

## Purpose / Big Picture

Tell in a few sentences what somebody can do afterwards, and how they see that it works.

## Progress

Small steps with checkboxes; a step that is done by half becomes two.

- [x] (2025-10-01 13:00Z) Example completed step.
- [ ] Example incomplete step.
- [ ] Example partially completed step (completed: X; remaining: Y).

Times show how fast it goes.

## Surprises & Discoveries

What nobody expected, with a short proof.

- Observation: …
  Evidence: …

## Decision Log

Each decision, in this form:

- Decision: …
  Rationale: …
  Date/Author: …

## Outcomes & Retrospective

What came of it at a larger step or at the end, held against the purpose.

## Context and Orientation

How things stand, for a reader who knows nothing of it.

## Plan of Work

The edits in their order, in prose.

## Concrete Steps

What to type, in which working directory. Show what is printed.

## Validation and Acceptance

How to see it work. With tests, "run <project's test command> and expect <N> passed; the new test <name> fails before
the change and passes after>".

## Idempotence and Recovery

Whether steps can be repeated safely; for a risky one, the way back.

## Artifacts and Notes

The few transcripts that prove it, indented.

## Interfaces and Dependencies

Libraries, modules, and signatures by stable names such as `crate::module::function`. E.g.:

In crates/foo/planner.rs, define:

    pub trait Planner {
        fn plan(&self, observed: &Observed) -> Vec<Action>;
    }
"""
FILLED_IN = (
    ("# <Short, action-oriented description>", "# Count words in the greeting"),
    (
        "Where the rules for plans are checked in, say here where they stand.",
        "This plan is maintained in accordance with `.agent/PLANS.md`.",
    ),
    ("13:00Z) Example completed step.", "13:00Z) Counted the words, seen in run_0193aaaa-0000-7000-8000-000000000001."),
    ("- [ ] Example incomplete step.\n", "- [ ] (2025-10-01 14:00Z) Print the count.\n"),
    ("- [ ] Example partially completed step (completed: X; remaining: Y).\n", ""),
    ("Observation: …\n  Evidence: …", "Observation: tabs part words, too.\n  Evidence: `greet 'a\\tb'` printed 2."),
    ("Decision: …\n  Rationale: …\n", "Decision: split at all blanks.\n  Rationale: people paste from tables.\n"),
    ("Date/Author: …", "Date/Author: 2025-10-01, the author."),
    ("The edits in their order, in prose.", "In `src/greet.py`, let `greet` return how many words it was given."),
    (
        "What to type, in which working directory. Show what is printed.",
        (
            "In the root of the repository, run what follows and see what stands below it.\n\n"
            "    $ python src/greet.py --count Ada\n    1"
        ),
    ),
    (
        (
            "\"run <project's test command> and expect <N> passed; the new test <name> fails before\n"
            'the change and passes after>".'
        ),
        "run `pytest tests` and expect 3 passed; `test_words` fails before the change and passes after it.",
    ),
    (
        (
            "In crates/foo/planner.rs, define:\n\n    pub trait Planner {\n        fn plan(&self, observed: &Observed)"
            " -> Vec<Action>;\n    }\n"
        ),
        (
            "In `src/greet.py`, define:\n\n    def greet(text: str) -> int: ...\n\n## Resume Pointers\n\n"
            "- Run: run_0193aaaa-0000-7000-8000-000000000001\n- Thread: 0193aaaa-0000-7000-8000-000000000002\n"
            "- Rollout: none yet\n- Receipt: that of the run\n- Next command: `armarius plan resume count`\n\n"
            "Revision (2025-10-01): words are counted at all blanks, because tabs were found.\n"
        ),
    ),
)
KNOWN = {"src", "src/greet.py", "tests", ".agent", ".agent/PLANS.md"}


def place(path: str) -> Place:
    return "there" if path in KNOWN else "no-folder"


def told(text: str) -> Counter[tuple[str, str]]:
    around = Surroundings(PurePosixPath(".agent/PLANS.md"), place)
    return Counter((finding.rule, finding.severity) for finding in check_text(text, around)[1])


def test_the_published_skeleton_is_told_what_is_left_to_fill_in_and_nothing_else() -> None:
    assert told(SKELETON) == {
        ("P03", "error"): 1,  # the path of the rules
        ("P24", "error"): 7,  # title, five fields of entries, the test command
        ("P14", "error"): 1,  # no command
        ("P15", "error"): 1,  # nothing to exercise
        ("P15", "warning"): 1,  # no count of tests
        ("P05", "warning"): 2,  # open steps without a time, as it shows them itself
        ("P13", "warning"): 1,
        ("P20", "warning"): 1,
        ("P22", "warning"): 1,
        ("P23", "warning"): 1,
    }


def test_each_thing_that_is_filled_in_leaves_less_to_say_until_nothing_is() -> None:
    text, before = SKELETON, told(SKELETON).total()
    for old, new in FILLED_IN:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
        assert told(text).total() < before, new
        before = told(text).total()
    assert told(text) == {}


def test_without_rules_that_are_checked_in_it_need_not_name_them() -> None:
    around = Surroundings(None, place)
    assert "P03" not in {finding.rule for finding in check_text(SKELETON, around)[1]}
