"""Skills of the team, put into what Codex asks its model.

Owns where they go, which of them, and that both stay the same. Does not own the skills (skills/) or the bytes of a
body beyond one place in it.
Invariant: nothing is changed; one item is put in between two others, before the first message in the user's own
words. What it says is decided once for that message and kept, so that every later request of the conversation, of
its forks and of a recorder that was started anew has the same beginning, byte for byte.
"""

import contextlib
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from armarius.clock import Clock
from armarius.files import private_folder
from armarius.recorder.history import Items, Placed, id_of, place_of
from armarius.recorder.identity import Identity
from armarius.recorder.items import own_words, words_of
from armarius.skills.relevance import relevance
from armarius.visible import reveal

__all__ = ["DEFAULT_TOKENS", "Injector", "Mode", "Offered"]

Mode = Literal["off", "catalogue", "pinned"]
DEFAULT_TOKENS = 2_000
_BYTES_A_TOKEN = 4
_LONGEST_DESCRIPTION = 400
_AS_GOOD = 0.5
_WORDS_READ = 8_000
_KEPT_S = 30 * 86_400
_MOST_REMEMBERED = 512

_LISTED = re.compile(r"^- ([^:\n]{1,200}): .*\(file: ", re.MULTILINE)
_OUR_MARKS = re.compile(r"</?team_skill", re.IGNORECASE)

_CATALOGUE = """<team_skills>
Skills of this team. Each is a file of instructions. When one fits the task, read its file before you start; \
paths in it are relative to its folder.
"""
_PINNED = """<team_skills>
Skills of this team that fit the task. Follow them where they apply; paths in them are relative to their folders.
"""
_END = "</team_skills>"


class Offered(msgspec.Struct, frozen=True):
    """A skill that may be put in; `path` is that of its SKILL.md."""

    name: str
    description: str
    path: str
    text: str


class _Choice(msgspec.Struct, frozen=True):
    """What is put before one message: the bytes of an item (none when nothing fits), and the skills in it."""

    item: bytes
    names: tuple[str, ...]


class Injector:
    """Puts skills into requests; what was decided is kept in `folder`."""

    def __init__(
        self,
        mode: Mode,
        offers: Callable[[], Sequence[Offered]],
        folder: Path,
        clock: Clock,
        tokens: int = DEFAULT_TOKENS,
    ) -> None:
        self._mode, self._offers, self._folder = mode, offers, folder
        self._budget = tokens * _BYTES_A_TOKEN
        self._choices = OrderedDict[str, _Choice]()
        _forget_old(private_folder(folder), clock)

    def __call__(
        self, body: bytes, read: Callable[[], Items], identity: Identity, before: Placed | None
    ) -> Placed | None:
        """What to put into a body, and where; None when there is no place for it. `read` gives the items of the body,
        `before` is what was put into one that began in the same way.
        """
        if self._mode == "off" or identity.kind != "turn":
            return None
        if before is not None:
            return before
        items = read()
        place = next((number for number, item in enumerate(items) if own_words(item)), None)
        if place is None:
            return None
        anchor = bytes(items[place])
        name = hashlib.sha256((id_of(items[place]) or "").encode() or anchor).hexdigest()
        choice = self._choices.get(name) or self._kept(name) or self._decide(name, items[: place + 1])
        self._remember(name, choice)
        if not choice.item:
            return Placed(0, b"")
        at = place_of(body, items[: place + 1])
        return None if at is None else Placed(at, choice.item, choice.names)

    # ---------------------------------------------------------------- what was decided

    def _remember(self, name: str, choice: _Choice) -> None:
        self._choices[name] = choice
        self._choices.move_to_end(name)
        if len(self._choices) > _MOST_REMEMBERED:
            self._choices.popitem(last=False)

    def _kept(self, name: str) -> _Choice | None:
        try:
            return msgspec.msgpack.decode((self._folder / name).read_bytes(), type=_Choice)
        except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
            return None

    def _decide(self, name: str, items: Sequence[msgspec.Raw]) -> _Choice:
        choice = self._choose(items)
        # Not synced: after a loss of power the provider's cache of the prefix is lost too.
        temporary = self._folder / f"{name}.{os.getpid()}"
        with contextlib.suppress(OSError):  # a disk that is full: it is remembered for as long as we live
            temporary.write_bytes(msgspec.msgpack.encode(choice))
            temporary.replace(self._folder / name)
        return choice

    # ---------------------------------------------------------------- deciding

    def _choose(self, items: Sequence[msgspec.Raw]) -> _Choice:
        installed = {name for item in items for name in _listed(item)}
        offers = [one for one in self._offers() if one.name not in installed and not _OUR_MARKS.search(one.text)]
        offers.sort(key=lambda one: one.name)
        fits = relevance(own_words(items[-1])[:_WORDS_READ], [f"{one.name} {one.description}" for one in offers])
        ranked = sorted(zip(fits, offers, strict=True), key=lambda pair: (-pair[0], pair[1].name))
        opening = _CATALOGUE if self._mode == "catalogue" else _PINNED
        left = self._budget - len((opening + _END).encode())
        chosen = dict[str, str]()
        for fit, one in ranked:
            if self._mode == "pinned" and not 0 < ranked[0][0] * _AS_GOOD <= fit:
                break  # a whole text is for whom it fits
            told = _line(one) if self._mode == "catalogue" else _whole(one)
            size = len(told.encode())
            if size <= left:
                chosen[one.name] = told
                left -= size
        if not chosen:
            return _Choice(b"", ())
        text = opening + "".join(chosen[name] for name in sorted(chosen)) + _END
        content = [{"type": "input_text", "text": text}]
        item = msgspec.json.encode({"type": "message", "role": "developer", "content": content})
        return _Choice(item, tuple(sorted(chosen)))


def _line(one: Offered) -> str:
    description = _plain(one.description)
    if len(description) > _LONGEST_DESCRIPTION:
        description = description[: _LONGEST_DESCRIPTION - 1] + "…"
    return f"- {_plain(one.name)}: {description} (file: {one.path})\n"


def _whole(one: Offered) -> str:
    name, text = _plain(one.name), reveal(one.text.strip())
    return f"<team_skill>\n<name>{name}</name>\n<path>{one.path}</path>\n{text}\n</team_skill>\n"


def _plain(text: str) -> str:
    """One line, with nothing in it that a reader would not see, and none of our marks."""
    return " ".join(reveal(_OUR_MARKS.sub(lambda mark: mark[0].replace("<", "("), text)).split())


def _listed(item: msgspec.Raw) -> list[str]:
    """The skills that Codex itself lists in an item."""
    if b"skills_instructions" not in bytes(item):
        return []
    return _LISTED.findall(words_of(item))


def _forget_old(folder: Path, clock: Clock) -> None:
    """Forget what was decided for messages that nobody continues any more."""
    oldest = clock.now_us() / 1e6 - _KEPT_S
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # another recorder does the same
            if entry.stat(follow_symlinks=False).st_mtime < oldest:
                Path(entry).unlink()
