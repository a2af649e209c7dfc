"""A template: steps, a loop over some of them, and when the whole has succeeded.

Owns the file's form, every check of it, and how a prompt is filled in. Does not own doing anything.
Invariant: pure; a template that was read names only what is there, and every step that it refers to comes before. What
an agent said enters a prompt in a fence, and never as a placeholder.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec

from armarius.batch.file import bare_toml
from armarius.errors import DataError, nearest
from armarius.fence import fenced, fenced_json
from armarius.files import read_bounded
from armarius.redact import redact
from armarius.workflows.handoffs import HAND_OFFS

__all__ = ["Loop", "Step", "Template", "filled", "holds", "items_of", "parse", "read_template", "shipped"]

_FOLDER: Final = Path(__file__).with_name("templates")
_LARGEST: Final = 256 << 10
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")]
_OURS: Final = frozenset({"goal", "inventory", "item"})
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_CONDITION = re.compile(r"([a-z][a-z0-9_]*)\.([a-z_]+)(?:=([a-z_]+))?\Z")
_EACH = re.compile(r"([a-z][a-z0-9_]*)\.([a-z_]+)\Z")


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step: a run for its prompt, one for each item of `each`, or (`check`) the user's own command.

    `answer` is a hand-off, or None for words.
    """

    id: _Name
    prompt: Annotated[str, msgspec.Meta(max_length=20_000)] = ""
    answer: str | None = None
    writes: bool = False
    each: str | None = None
    check: bool = False


class Loop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """These steps are done until a condition holds, `most` times at most."""

    steps: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1)]
    until: str
    most: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow. `succeeds` is the condition of its success; None: that every step was done."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,47}\Z")]
    says: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    step: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1, max_length=32)]
    loop: Loop | None = None
    succeeds: str | None = None

    @property
    def writes(self) -> bool:
        return any(step.writes for step in self.step)

    @property
    def checks(self) -> bool:
        return any(step.check for step in self.step)


def shipped() -> dict[str, Path]:
    """The templates that come along, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.toml"))}


def read_template(name: str) -> Template:
    """A template by the name of one that comes along, or by its file."""
    known = shipped()
    path = known.get(name)
    if path is None:
        path = Path(name)
        if not path.suffix:
            raise DataError("workflow-unknown", f"no workflow called {name!r}", nearest(name, tuple(known)))
    return parse(str(path), read_bounded(path, _LARGEST))


def parse(place: str, data: bytes) -> Template:
    """The template in a file; DataError with what is wrong."""
    try:
        text = data.decode()
        bare_toml(place, text)
        template = msgspec.convert(tomllib.loads(text), Template)
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, not of this form
        raise DataError("workflow-file", f"{place}: {error}", "see `armarius template list`") from error
    _check(place, template)
    return template


def filled(step: Step, known: dict[str, Any], *, item: Any = None) -> str:
    """The prompt of a step; `known` has the goal, the inventory and what the steps before have handed on."""

    def put(match: re.Match[str]) -> str:
        name = match[1]
        if name == "goal":
            return str(known["goal"])
        value = item if name == "item" else known.get(name)
        if value is None:
            return "(nothing yet)"
        return fenced(value, "text") if isinstance(value, str) else fenced_json(_redacted(value))

    return _PLACE.sub(put, step.prompt)


def holds(condition: str, known: dict[str, Any]) -> bool:
    """Whether `step.field` is true, or `step.field=word` is that word; of several answers all must be."""
    found = _CONDITION.match(condition)
    assert found is not None  # looked at when the template was read
    name, field, word = found.groups()
    answers: Any = known.get(name)
    many = cast("list[Any]", answers) if isinstance(answers, list) else [answers]
    values: list[Any] = [cast("dict[str, Any]", one).get(field) if isinstance(one, dict) else None for one in many]
    return bool(values) and all(value is True if word is None else value == word for value in values)


def items_of(step: Step, known: dict[str, Any]) -> list[Any]:
    """What a step is done for, each once."""
    assert step.each is not None
    name, _, field = step.each.partition(".")
    value: Any = known.get(name)
    found: Any = cast("dict[str, Any]", value).get(field) if isinstance(value, dict) else None
    return cast("list[Any]", found) if isinstance(found, list) else []


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(key): _redacted(inner) for key, inner in cast("dict[str, Any]", value).items()}
    return [_redacted(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value


def _check(place: str, template: Template) -> None:
    def wrong(what: str, hint: str) -> DataError:
        return DataError("workflow-file", f"{place}: {what}", hint)

    steps = {step.id: step for step in template.step}
    looped = template.loop.steps if template.loop else ()
    if len(steps) != len(template.step) or _OURS & steps.keys():
        raise wrong("two steps have one name, or one has a name of ours", f"not {', '.join(sorted(_OURS))}")
    seen = set[str]()
    for step in template.step:
        before = seen | set(looped) if step.id in looped else seen
        if (step.check and (step.prompt or step.writes or step.each or step.answer)) or not (step.check or step.prompt):
            raise wrong(f"`{step.id}` is a prompt or a check", "a check has nothing else")
        if step.answer is not None and step.answer not in HAND_OFFS:
            raise wrong(f"`{step.id}`: no hand-off {step.answer!r}", nearest(step.answer, tuple(HAND_OFFS)))
        for name in _PLACE.findall(step.prompt):
            if name not in before | {"goal", "inventory"} and not (name == "item" and step.each):
                raise wrong(f"`{step.id}` refers to {{{name}}}, which is not there yet", "name a step before it")
        if step.each is not None:
            found = _EACH.match(step.each)
            source = steps.get(found[1]) if found else None
            if found is None or source is None or source.id not in before or source.answer is None:
                raise wrong(f"`{step.id}`: each = {step.each!r} names no list", "e.g. each = 'plan.tasks'")
            if HAND_OFFS[source.answer]["properties"].get(found[2], {}).get("type") != "array":
                raise wrong(f"`{step.id}`: {step.each!r} is no list", "e.g. each = 'plan.tasks'")
        seen.add(step.id)
    order = [step.id for step in template.step if step.id in looped]
    if template.loop and (list(looped) != order or not _is_together(list(steps), order)):
        raise wrong("the steps of the loop do not follow each other", "name them in their order")
    for condition in filter(None, (template.succeeds, template.loop and template.loop.until)):
        _check_condition(
            condition, steps, wrong, looped if template.loop and condition == template.loop.until else None
        )


def _check_condition(condition: str, steps: dict[str, Step], wrong: Any, within: tuple[str, ...] | None) -> None:
    found = _CONDITION.match(condition)
    step = steps.get(found[1]) if found else None
    answer = "test_result" if step and step.check else step.answer if step else None
    if found is None or step is None or answer is None or found[2] not in HAND_OFFS[answer]["properties"]:
        raise wrong(f"{condition!r} is no condition", "e.g. check.passed, or judge.verdict=pass")
    if within is not None and step.id not in within:
        raise wrong(f"{condition!r} cannot change in the loop", "name a step of it")


def _is_together(names: list[str], order: list[str]) -> bool:
    first = names.index(order[0])
    return names[first : first + len(order)] == order
