"""The words a worker fills an answer with.

Owns sentences about a task, made from the task's own words. Does not own how many are used.
Invariant: the same task gives the same sentences; none holds a colon, a heading or a refusal, so
none satisfies a check by accident.
"""

import re
from collections.abc import Iterator
from itertools import count

__all__ = ["sentences"]

_LEAD = re.compile(r"^[^.?!]{0,60}?\b(?:on|of|about|regarding|decide)\s+", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]{3,}")
_DULL = frozenset(("about", "should", "whether", "their", "there", "which", "would", "could", "these", "those"))
_DULL_START = ("write", "answer", "advis", "analy", "decid", "decision")

_FRAMES = (
    "Much turns on {a}, because it is the part that is hardest to undo later",
    "The case for moving ahead rests on {a} and on how soon {b} starts to matter",
    "The case for waiting is that {b} may look quite different after a season of use",
    "People who work with {a} every day tend to see costs that a plan leaves out",
    "Money spent on {b} is easy to count, while attention spent on {a} seldom is",
    "A small trial around {a} would teach more than another round of discussion",
    "If {b} goes badly, the way back should be short and agreed beforehand",
    "Customers notice {a} long before they notice anything that supports it",
    "The team's habits around {b} matter as much as the choice itself",
    "What competitors do about {a} is worth knowing and rarely worth copying",
    "Timing favours an early look at {b}, since delay narrows the options",
    "A fair comparison holds {a} constant and lets only {b} vary",
)
_ASPECTS = (
    "in the near term",
    "over a longer period",
    "for the people who pay for it",
    "for the people who maintain it",
    "when money is short",
    "when growth is fast",
    "from the point of view of a newcomer",
)


def sentences(task: str) -> Iterator[str]:
    """Sentences about `task` without end; the first names what the task is about."""
    topic = _topic(task)
    words = _key_words(topic)
    yield f"The matter here is {topic}."
    for turn in count():
        frame = _FRAMES[turn % len(_FRAMES)]
        round_ = turn // len(_FRAMES)
        sentence = frame.format(a=words[turn % len(words)], b=words[(turn + 1) % len(words)])
        yield f"{sentence}, {_ASPECTS[(round_ - 1) % len(_ASPECTS)]}." if round_ else f"{sentence}."


def _topic(task: str) -> str:
    """What the task is about, as part of a sentence."""
    line = " ".join(task.split())
    words = re.sub(r"[^\w\s',.-]|(?<!\w)[.,-]+|[.,-]+(?!\w)", "", _LEAD.sub("", line, count=1))
    topic = " ".join(words.split()[:30])
    return re.sub(r"^if\b", "whether", topic) or "the request"


def _key_words(topic: str) -> list[str]:
    """The words that carry the topic, longest first and at most six."""
    words = dict.fromkeys(
        word.lower()
        for word in _WORD.findall(topic)
        if word.lower() not in _DULL and not word.lower().startswith(_DULL_START)
    )
    return sorted(words, key=len, reverse=True)[:6] or ["the request"]
