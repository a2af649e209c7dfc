"""How what a run asks of a person is shown, and where the person speaks to it.

Owns the words of a question, and opening a run for an answer. Does not own what an answer may be
(`dispatch.approvals`).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import msgspec

from armarius.cli.output import say
from armarius.cli.runs.lines import keeper
from armarius.codex.orders import Question
from armarius.dispatch.floor import Floor
from armarius.runs.approvals import shown
from armarius.runs.records import find_run

__all__ = ["Spoken", "floor", "question_in", "tell_of_questions", "words_of_question"]

_ASKED = b'{"type":"approval.requested"'
_MOST_DIFF = 8_000


class Spoken(msgspec.Struct, frozen=True):
    """What was said to a run (`armarius.spoken.v1`); `question` is what it was an answer to."""

    run: str
    said: str
    question: Question | None = None
    schema: str = "armarius.spoken.v1"


class _Asked(msgspec.Struct):
    run: str
    question: Question


def words_of_question(run_id: str, question: Question) -> list[str]:
    """What a person has to know to decide, and how; `question` is as `approvals.shown` makes it."""
    name, lines = question.id, list[str]()
    match question.kind:
        case "command":
            lines.append(f"waiting for approval {name}: run {question.command or 'a command'}")
            lines.append(f"  in {question.cwd or '?'}, outside the sandbox")
        case "file_change":
            paths = ", ".join(f"{change.kind} {change.path}" for change in question.changes) or "files"
            lines.append(f"waiting for approval {name}: change {paths}")
            lines += [f"  {line}" for change in question.changes for line in change.diff[:_MOST_DIFF].splitlines()]
        case "input":
            lines.append(f"waiting for an answer {name}")
            for ask in question.asks:
                lines.append(f"  {ask.question}" + (f"  [{' | '.join(ask.options)}]" if ask.options else ""))
        case "other":
            lines.append(f"waiting for approval {name}: {question.method}")
    if question.reason:
        lines.append(f"  because: {question.reason}")
    if question.host:
        lines.append(f"  network: {question.host}")
    if question.grant_root:
        lines.append(f"  it would open {question.grant_root} for the rest of the session")
    if question.kind == "input":
        return [*lines, f"  `armarius runs answer {run_id} --id {name} TEXT`"]
    return [*lines, f"  `armarius runs approve {run_id} --id {name}` or `runs deny`"]


def tell_of_questions(each: Callable[[bytes], object] | None) -> Callable[[bytes], object]:
    """Hands events on to `each`, and says on standard error what a run waits for."""

    def hear(line: bytes) -> None:
        if each is not None:
            each(line)
        if words := question_in(line):
            say(words, err=True)

    return hear


def question_in(line: bytes) -> str:
    """The words of the question that an event is; empty for every other one."""
    if not line.startswith(_ASKED):
        return ""
    asked = msgspec.json.decode(line, type=_Asked)
    return "\n".join(words_of_question(asked.run, shown(asked.question)))


@contextmanager
def floor(name: str) -> Generator[tuple[str, Floor]]:
    """A run that lives, by its id or the beginning of it, and where to speak to it."""
    with keeper() as runs:
        row = find_run(runs.ledger, name)
        yield row.id, Floor(runs, row)
