"""A person's `hooks.json`, with entries of ours put in and taken out again.

Owns the edit of the text. Does not own what an entry says, nor writing the file.
Invariant: pure. Only the bytes of our entries are added or removed; what a person wrote keeps its
text, order and spacing, so that taking out undoes putting in to the byte.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from armarius.errors import Refused

__all__ = ["Place", "Removed", "places_of", "with_groups", "without"]

_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a hook stands: its event, the group below it, the place in the group."""

    event: str
    group: int
    hook: int


class Removed(msgspec.Struct, frozen=True):
    """The text without our entries, how many there were, and whose place changed by it."""

    text: str
    count: int
    moved: tuple[tuple[Place, Place], ...]


class _Group(msgspec.Struct):
    hooks: list[Any] = []


class _Document(msgspec.Struct):
    hooks: dict[str, list[_Group]] = {}


class _Part(msgspec.Struct, frozen=True):
    """A value of a container: `start` is where its text begins (its name, in an object)."""

    name: str
    start: int
    value: int
    end: int


class _Container(msgspec.Struct, frozen=True):
    open: int
    parts: tuple[_Part, ...]
    close: int

    def get(self, name: str) -> _Part | None:
        return next((part for part in self.parts if part.name == name), None)


def with_groups(text: str, groups: Mapping[str, Any], where: str) -> str:
    """`text` with a group appended below each event; an empty text becomes a whole file.

    Refused when the text is no `hooks.json`; `where` names it in the message.
    """
    if not text.strip():
        lines = (f"    {json.dumps(event)}: [{json.dumps(group)}]" for event, group in groups.items())
        return '{\n  "hooks": {\n' + ",\n".join(lines) + "\n  }\n}\n"
    check(text, where)
    for event, group in groups.items():
        text = _with_group(text, event, json.dumps(group))
    return text


def places_of(text: str, is_ours: Callable[[str], bool], where: str) -> tuple[Place, ...]:
    """Where the hooks stand whose commands are ours; none in an empty text."""
    if not text.strip():
        return ()
    check(text, where)
    return tuple(place for place, command in _hooks(text) if is_ours(command))


def without(text: str, is_ours: Callable[[str], bool], created: Sequence[str], where: str) -> Removed:
    """`text` without every hook whose command is ours.

    `created` are the events that stood in the file because of us (`hooks` for all of them): once
    empty, they go too.
    """
    if not text.strip():
        return Removed(text, 0, ())
    count = len(places_of(text, is_ours, where))
    before = places_of(text, lambda command: not is_ours(command), where)
    while (span := _ours(text, is_ours)) is not None:
        text = text[: span[0]] + text[span[1] :]
    for name in (*(event for event in created if event != "hooks"), "hooks"):
        if name in created:
            text = _without_empty(text, name)
    after = [place for place, _ in _hooks(text)]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    return Removed(text, count, tuple(moved))


def check(text: str, where: str) -> None:
    """Refused unless `text` is a `hooks.json` that can be edited without guessing."""
    hint = "correct the file; Codex cannot use it either"
    try:
        msgspec.convert(json.loads(text, object_pairs_hook=_once), _Document)
    except (ValueError, RecursionError) as error:
        raise Refused("hooks-file", f"{where} is no JSON of hooks by event: {error}", hint) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return dict(pairs)


# ---------------------------------------------------------------------- edits


def _with_group(text: str, event: str, group: str) -> str:
    root = _container(text, 0)
    hooks = root.get("hooks")
    if hooks is None:
        return _appended(text, root, f'"hooks": {{{json.dumps(event)}: [{group}]}}')
    events = _container(text, hooks.value)
    found = events.get(event)
    if found is None:
        return _appended(text, events, f"{json.dumps(event)}: [{group}]")
    return _appended(text, _container(text, found.value), group)


def _appended(text: str, container: _Container, part: str) -> str:
    """A part more, spaced as the first one is."""
    inside = container.open + 1
    first = next(iter(container.parts), None)
    if first is None:
        return text[:inside] + part + text[inside:]
    space = text[inside : first.start] or " "
    *_, last = container.parts
    return f"{text[: last.end]},{space}{part}{text[last.end :]}"


def _removed(container: _Container, index: int) -> tuple[int, int]:
    """The span that goes with a part: what `_appended` put in, wherever the part stands now."""
    parts = container.parts
    if index > 0:
        return parts[index - 1].end, parts[index].end
    first, *others = parts
    return first.start, others[0].start if others else first.end


def _ours(text: str, is_ours: Callable[[str], bool]) -> tuple[int, int] | None:
    """The first span to take out: a whole group, or a hook out of a group that a person extended."""
    for _, groups in _events(text):
        for number, group in enumerate(groups.parts):
            hooks = _hooks_of(text, group)
            ours = [is_ours(hook.name) for hook in hooks.parts] if hooks else []
            if hooks and all(ours) and ours:
                return _removed(groups, number)
            if hooks and any(ours):
                return _removed(hooks, ours.index(True))
    return None


def _without_empty(text: str, name: str) -> str:
    root = _container(text, 0)
    hooks = root.get("hooks")
    if hooks is None:
        return text
    holder = root if name == "hooks" else _container(text, hooks.value)
    found = holder.get(name)
    if found is None or _container(text, found.value).parts:
        return text
    start, end = _removed(holder, holder.parts.index(found))
    return text[:start] + text[end:]


# -------------------------------------------------------------------- reading


def _hooks(text: str) -> Iterator[tuple[Place, str]]:
    """Every hook with its place and its command, if it has one."""
    for event, groups in _events(text):
        for number, group in enumerate(groups.parts):
            hooks = _hooks_of(text, group)
            for index, hook in enumerate(hooks.parts if hooks else ()):
                yield Place(event, number, index), hook.name


def _events(text: str) -> list[tuple[str, _Container]]:
    hooks = _container(text, 0).get("hooks")
    if hooks is None:
        return []
    return [(event.name, _container(text, event.value)) for event in _container(text, hooks.value).parts]


def _hooks_of(text: str, group: _Part) -> _Container | None:
    """The hooks of a group, each named by its command."""
    found = _container(text, group.value).get("hooks")
    if found is None:
        return None
    hooks = _container(text, found.value)
    named = [
        msgspec.structs.replace(hook, name=_command(_DECODER.raw_decode(text, hook.value)[0])) for hook in hooks.parts
    ]
    return msgspec.structs.replace(hooks, parts=tuple(named))


def _command(hook: Any) -> str:
    match hook:
        case {"command": str(command)}:
            return command
        case _:
            return ""


def _container(text: str, at: int) -> _Container:
    """The object or list that begins at `at` (or after space), with the spans of its parts. It is valid."""
    start = _after_space(text, at)
    is_object = text[start] == "{"
    parts = list[_Part]()
    at = _after_space(text, start + 1)
    while text[at] not in "}]":
        name, value = "", at
        if is_object:
            name, end = _DECODER.raw_decode(text, at)
            value = _after_space(text, _after_space(text, end) + 1)
        end = _DECODER.raw_decode(text, value)[1]
        parts.append(_Part(name, at, value, end))
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return _Container(start, tuple(parts), at)


def _after_space(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at
