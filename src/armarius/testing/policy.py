"""The scripted model as a worker.

Owns what it does with a task: read the skill, run the tools the skill names, answer as the skill
asks. Does not own the English it understands (`grammar.py`). It knows no benchmark and no check.
Invariant: the same conversation gives the same step, and an answer obeys only skill text: neither
AGENTS.md nor the task itself adds a rule.

Without a rule the answer is two short paragraphs without headings or labelled lines. A ceiling on
length cuts the filling and never what a rule asked for.
"""

import bisect
import hashlib
import json
import re
import shlex
from itertools import islice

import msgspec

from armarius.testing.conversation import Conversation, ShellShape, SkillEntry
from armarius.testing.grammar import read_rules
from armarius.testing.grammar_values import Line, Rules, Unit
from armarius.testing.instance import smallest_instance
from armarius.testing.prose import sentences
from armarius.testing.reply import Reply, Say, Shell

__all__ = ["Worker", "compose"]

_ORDINARY = 4  # sentences without any rule on length
_EXHAUSTIVE = 36  # about 3,500 characters
_MOST_FILLING = 5_000  # also where a floor that nobody could want is given up
_LONG_SENTENCE = 300  # characters; no sentence is longer, so a floor is never far overshot
_CHARACTERS: dict[Unit, int] = {"character": 1, "word": 5, "sentence": 60, "paragraph": 120}
_MOST_SKILLS = 3
_MARKER = re.compile(r"\[\[[^\]\n]*\]\]")
_REPLICATE = re.compile(r"\breplicate\W?(\d+)", re.IGNORECASE)
_LIKELY = "moderate"  # the value of a line that leaves it open


class Worker(msgspec.Struct, frozen=True):
    """Obeys the rules it finds, save for a share `disobedience` of its answers.

    Which answers those are follows from `seed`, the task, the skill text and the number after the
    word "replicate" in the task or in Codex's thread source: never from the order of arrival.
    """

    seed: int = 0
    disobedience: float = 0.0

    def reply(self, conversation: Conversation) -> Reply:
        """The next response to a task."""
        if command := _reading(conversation):
            return Reply((Shell(command),))
        rules = self._rules(conversation)
        task = _MARKER.sub("", conversation.task).strip()
        if program := _pending_tool(rules, conversation):
            return Reply((Shell(f"{program} {shlex.quote(_query(task))}"),))
        if conversation.schema is not None:
            return Reply((Say(json.dumps(smallest_instance(conversation.schema))),))
        return Reply((Say(compose(task, rules)),))

    def _rules(self, conversation: Conversation) -> Rules:
        text = "\n\n".join(conversation.skills)
        return Rules() if self._disobeys(conversation, text) else read_rules(text)

    def _disobeys(self, conversation: Conversation, skill: str) -> bool:
        marker = _REPLICATE.search(f"{conversation.task}\n{conversation.thread_source}")
        content = json.dumps([self.seed, conversation.task, skill, marker[1] if marker else ""])
        draw = int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big") / 2**64
        return draw < self.disobedience


def _reading(conversation: Conversation) -> str:
    """The command that reads the skills fit for the task, while none was read or injected."""
    wanted = [entry for entry in conversation.catalogue if "/.system/" not in entry.path]
    if conversation.skills or not wanted or conversation.shell is ShellShape.NONE:
        return ""
    paths = [entry.path for entry in _fitting(wanted, conversation.task)]
    command = "cat " + " ".join(map(shlex.quote, paths))
    return "" if any(call.command == command for call in conversation.calls) else command


def _fitting(entries: list[SkillEntry], task: str) -> list[SkillEntry]:
    """The skills that share most words with the task; when none shares one, the first few."""
    words = _stems(task)
    scores = [len(words & _stems(f"{entry.name} {entry.description}")) for entry in entries]
    best = [entry for entry, score in zip(entries, scores, strict=True) if score == max(scores)]
    return best[:_MOST_SKILLS]


def _stems(text: str) -> set[str]:
    return {word[:5].lower() for word in re.findall(r"[A-Za-z]{4,}", text)}


def _pending_tool(rules: Rules, conversation: Conversation) -> str:
    """The first tool of the rules that was not run for this task."""
    if conversation.shell is ShellShape.NONE:
        return ""
    ran = {call.command.split(" ", 1)[0] for call in conversation.calls}
    return next((program for program in rules.tools if program not in ran), "")


def _query(task: str) -> str:
    return " ".join(re.findall(r"[\w-]+", task)[:8])


# ------------------------------------------------------------------- answers


def compose(task: str, rules: Rules) -> str:
    """An answer to `task` under `rules`: as much filling as their bounds on length leave room for."""
    wished = _EXHAUSTIVE if rules.long else _ORDINARY
    supply = _supply(task, rules, wished)

    def too_long(amount: int) -> bool:
        return _over(_answer(task, rules, supply[:amount]), rules)

    amount = bisect.bisect_right(range(1, wished + 1), x=False, key=too_long)
    answer = _answer(task, rules, supply[:amount])
    while (missing := _missing(answer, rules)) > 0 and amount < _MOST_FILLING:
        amount = min(_MOST_FILLING, amount + max(1, missing // _LONG_SENTENCE))
        longer = _answer(task, rules, _supply(task, rules, amount))
        if _over(longer, rules):
            break
        answer = longer
    return answer


def _supply(task: str, rules: Rules, amount: int) -> list[str]:
    """So many sentences of filling, or fewer when the phrases to avoid are in nearly all of them."""
    allowed = (
        sentence
        for sentence in islice(sentences(task), _MOST_FILLING)
        if not any(phrase.casefold() in sentence.casefold() for phrase in rules.avoid)
    )
    return list(islice(allowed, amount))


def _answer(task: str, rules: Rules, filling: list[str]) -> str:
    """An answer with this filling. Without any, what the rules ask for stands alone."""
    about = _query(task)
    if any(phrase.casefold() in about.casefold() for phrase in rules.avoid):
        about = "the question"
    blocks = [rules.opening, *(_written(line) for line in rules.lines if line.first)]
    blocks += _paragraphs(filling, rules)
    for title in rules.sections:
        blocks.append(f"## {title}")
        blocks += [f"What was said above on {about} belongs here."] if filling else []
    blocks += [f"A point to keep in view is {phrase}" for phrase in rules.include]
    blocks += [f"[{number}] Notes on {about}." for number in range(1, rules.sources + 1)]
    blocks += [_written(line) for line in rules.lines if not line.first]
    return "\n\n".join(block for block in [*blocks, rules.closing] if block)


def _paragraphs(body: list[str], rules: Rules) -> list[str]:
    size = 4 if rules.long else 2
    if "paragraph" in rules.ceilings:
        size = max(1, -(-len(body) // max(1, rules.ceilings["paragraph"])))
    return [" ".join(body[start : start + size]) for start in range(0, len(body), size)]


def _written(line: Line) -> str:
    mark = " =" if line.mark == "=" else ":"
    return f"{line.label}{mark} {line.value or _LIKELY}"


def _measure(answer: str) -> dict[Unit, int]:
    return {
        "character": len(answer),
        "word": len(answer.split()),
        "sentence": len(re.findall(r"[.!?](?=\s|$)", answer)),
        "paragraph": answer.count("\n\n") + 1,
    }


def _over(answer: str, rules: Rules) -> bool:
    size = _measure(answer)
    return any(size[unit] > most for unit, most in rules.ceilings.items())


def _missing(answer: str, rules: Rules) -> int:
    """About how many characters the answer lacks; 0 when it is long enough."""
    size = _measure(answer)
    return max(
        ((least - size[unit]) * _CHARACTERS[unit] for unit, least in rules.floors.items()),
        default=0,
    )
