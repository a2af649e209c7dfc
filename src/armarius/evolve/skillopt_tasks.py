"""Task files of SkillOpt-Sleep (`skillopt_sleep.tasks.v1`).

Owns what their fields mean in ours. Does not own either format's errors: what is translated keeps the places
of what it comes from, so that a complaint names the line of their file.
Invariant: nothing counts as a check that is none. A task without one becomes a draft; what they call `exact` is
taken at its word, equality. What is marked as reviewed there was reviewed only if it says exactly `true`.
"""

import re
from typing import Any, cast

from armarius.evolve.located import Located, Path
from armarius.identity import hash_bytes

__all__ = ["is_such", "translated"]

_FORMAT = "skillopt_sleep.tasks.v1"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_DIGITS = re.compile(r"\d{1,9}", re.ASCII)
_OF_NUMBER = frozenset({"max_chars", "min_chars", "min_citations"})
_SIDES = {"train": "train", "replay": "train", "val": "held_out", "test": "held_out", "holdout": "held_out"}


def is_such(value: Any) -> bool:
    """Whether a decoded file is one of theirs: it names a format, or is a bare list of what they call tasks."""
    if isinstance(value, dict):
        return "format" in cast("dict[str, Any]", value)
    if isinstance(value, list):
        rows = cast("list[Any]", value)
        return bool(rows) and all(isinstance(row, dict) and "intent" in row for row in rows)
    return False


def translated(source: Located) -> Located:
    """The same file as one of ours."""
    is_bare = isinstance(source.value, list)
    if not is_bare and (named := source.value["format"]) != _FORMAT:
        message = f"$.format: {named!r:.80} is not known"
        raise source.error(("format",), "task-file", message, f"this reads {_FORMAT} and armarius.tasks.v1")
    rows = source.value if is_bare else source.value.get("tasks")
    if not isinstance(rows, list):
        raise source.error((), "task-file", "$: there is no list of tasks")
    tasks, drafts = list[Any](), list[Any]()
    offsets: dict[Path, int] = {(): source.offsets.get((), 0)}
    for place, row in enumerate(cast("list[Any]", rows)):
        old: Path = (place,) if is_bare else ("tasks", place)
        if not isinstance(row, dict):
            raise source.error(old, "task-file", f"$.tasks[{place}]: expected object")
        fields = cast("dict[str, Any]", row)
        judge = _judge(source, old, fields)
        if judge is None:
            drafts.append({"task": _text(fields) or " ", "asks": "a check: it came without one"})
            continue
        for path, offset in source.offsets.items():
            if path[: len(old)] == old:
                offsets["tasks", len(tasks), *_renamed(path[len(old) :])] = offset
        tasks.append(_task(fields, judge))
    reviewed = not is_bare and source.value.get("reviewed") is True
    value = {"schema": "armarius.tasks.v1", "reviewed": reviewed, "tasks": tasks, "drafts": drafts}
    return source._replace(value=value, offsets=offsets)


def _task(row: dict[str, Any], judge: Any) -> dict[str, Any]:
    name, text = row.get("id"), _text(row)
    if not (isinstance(name, str) and _ID.fullmatch(name)):
        name = "task_" + hash_bytes(f"{name}\0{text}".encode())[7:19]
    side = "train" if row.get("origin") == "dream" else _SIDES.get(str(row.get("split")))
    return {"task_id": name, "task": text, "judge": judge} | ({"split": side} if side else {})


def _text(row: dict[str, Any]) -> Any:
    """The request, behind what they say first and before what they hand along as its context."""
    intent, system, context = row.get("intent"), row.get("system"), row.get("context_excerpt")
    if not isinstance(intent, str):
        return intent
    first = f"{system}\n\n" if isinstance(system, str) and system.strip() else ""
    last = f"\n\nContext:\n{context}" if isinstance(context, str) and context.strip() else ""
    return f"{first}{intent}{last}"


def _judge(source: Located, at: Path, row: dict[str, Any]) -> Any:
    """The judge as ours spell it; None for a task that has none."""
    kind, reference = row.get("reference_kind", "none"), row.get("reference")
    match kind:
        case "none":
            return None
        case "rule":
            return _numbered(row.get("judge"))
        case "exact":
            return {"kind": "rule", "checks": [{"op": "exact", "arg": reference}]}
        case "rubric":
            return {"kind": "rule", "checks": [{"op": "rubric", "arg": {"text": reference}}]}
        case _:
            raise source.error(
                (*at, "reference_kind"),
                "task-file",
                f"$.tasks[{at[-1]}].reference_kind: {kind!r:.80} cannot be judged",
                "use rule, exact, rubric or none",
            )


def _numbered(judge: Any) -> Any:
    """The judge with numbers as numbers: they take digits in quotes for one."""
    fields = cast("dict[str, Any]", judge) if isinstance(judge, dict) else {}
    if not isinstance(fields.get("checks"), list):
        return cast("Any", judge)
    return {**fields, "checks": [_numbered_check(row) for row in cast("list[Any]", fields["checks"])]}


def _numbered_check(check: Any) -> Any:
    if not isinstance(check, dict):
        return check
    fields = cast("dict[str, Any]", check)
    number = fields.get("arg")
    if fields.get("op") in _OF_NUMBER and isinstance(number, str) and _DIGITS.fullmatch(number):
        return {**fields, "arg": int(number)}
    return fields


def _renamed(path: Path) -> Path:
    return ("task", *path[1:]) if path[:1] == ("intent",) else path
