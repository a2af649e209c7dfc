"""The task file: recurring pieces of work, each with the judge of its answers.

Owns the format `armarius.tasks.v1`, its errors, and which tasks the reflector may see. Does not own
what the checks mean (`judge`) or where tasks come from.
Invariant: a TaskFile that exists is usable: ids differ, every judge can be applied, and no text is
on both sides of the split, whether by the file's own word or by ours. A refusal is one line with
file, line and column.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from armarius.errors import DataError, nearest
from armarius.evolve import located, skillopt_tasks
from armarius.evolve.judge import OPERATORS, Check, Judge
from armarius.evolve.likeness import near_groups
from armarius.evolve.origin import Draft, HarvestNote, Origin, Start
from armarius.files import read_bounded
from armarius.identity import hash_bytes

__all__ = [
    "Check",
    "Judge",
    "Task",
    "TaskFile",
    "fold_task",
    "join_rows",
    "parse_rows",
    "parse_tasks",
    "read_tasks",
    "render_tasks",
    "split_tasks",
]

_SCHEMA = "armarius.tasks.v1"
_MAX_FILE = 16 * 1024 * 1024
_Split: TypeAlias = Literal["train", "held_out", "safety"]


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One piece of work. `split` is the author's wish; without one, the text decides.

    `start` is what lies in the folder at the beginning, nothing unless said. `uncertifiable` says why nobody
    could tell from it that a skill is better: it trains, unless the author holds it out. A `safety` task
    neither teaches nor judges a gain: no candidate may lose it. `hidden_judge` is a second opinion that counts at
    the gate alone.
    """

    task_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
    task: Annotated[str, Meta(min_length=1, max_length=20_000)]
    judge: Judge
    split: _Split | None = None
    start: Start | None = None
    uncertifiable: Annotated[str, Meta(max_length=2_000)] | None = None
    origin: Origin | None = None
    hidden_judge: Judge | None = None

    def __post_init__(self) -> None:
        if not self.task.strip():
            raise ValueError("the task text is blank")

    @property
    def why_uncertifiable(self) -> str | None:
        """Why winning at this task proves nothing; None when it does prove something.

        A judge of form alone certifies only where its author held the task out: then form is what they want.
        """
        if self.uncertifiable:
            return self.uncertifiable
        if self.judge.shape_only and self.split != "held_out":
            return "its checks look at the form of an answer alone"
        return None

    @property
    def facts(self) -> dict[str, object]:
        """All of it that can change a score, or on which side it is: what evidence is evidence for."""
        return {
            name: value
            for name, value in msgspec.to_builtins(self).items()
            if name in ("task_id", "task", "judge", "split", "start", "hidden_judge")
        }


class TaskFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A set of tasks; `reviewed` says that a person has read them and lets money be spent on them.

    `drafts` are no tasks yet, as they have no check.
    """

    schema: Literal["armarius.tasks.v1"]
    reviewed: bool
    tasks: Annotated[tuple[Task, ...], Meta(min_length=1)]
    drafts: tuple[Draft, ...] = ()
    harvest: HarvestNote | None = None


def read_tasks(path: Path) -> TaskFile:
    """The tasks in a file: bare rows when it is named `.jsonl`, else a task file."""
    data = read_bounded(path, _MAX_FILE)
    parse = parse_rows if path.suffix == ".jsonl" else parse_tasks
    return parse(data, str(path))


def parse_tasks(data: bytes, where: str = "tasks.json") -> TaskFile:
    """The task file that `data` is, ours or one of SkillOpt-Sleep's."""
    source = located.decode_json(data, where)
    return _convert(skillopt_tasks.translated(source) if skillopt_tasks.is_such(source.value) else source)


def parse_rows(data: bytes, where: str = "tasks.jsonl") -> TaskFile:
    """Bare tasks, one a line. Nobody can have said that they were reviewed, so they are not."""
    rows = located.decode_rows(data, where, "tasks")
    return _convert(rows._replace(value={"schema": _SCHEMA, "reviewed": False, **rows.value}))


def join_rows(train: Sequence[Task], held_out: Sequence[Task], *, reviewed: bool) -> TaskFile:
    """A task file of rows whose sides are known, as when a benchmark has a file for each."""
    sides: tuple[tuple[_Split, Sequence[Task]], ...] = (("train", train), ("held_out", held_out))
    tasks = tuple(msgspec.structs.replace(task, split=side) for side, rows in sides for task in rows)
    if not tasks:
        raise DataError("no-tasks", "there are no tasks")
    if clash := _clash(tasks):
        raise DataError(clash.code, clash.message, clash.hint)
    return TaskFile(_SCHEMA, reviewed, tasks)


def render_tasks(file: TaskFile) -> bytes:
    """The file as a person reviews it; `parse_tasks` gives an equal one back."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def split_tasks(tasks: Sequence[Task]) -> tuple[tuple[Task, ...], tuple[Task, ...]]:
    """`(train, held_out)`: what the reflector may see, and what the gate judges with.

    A wish is respected. Texts that are nearly the same stay together: on the side of the wish that one of
    them has, else where the hash of the first of them, folded, says: a third for training, so that neither
    order nor other tasks matter. What is marked as uncertifiable trains. One exception: a side that would stay empty is
    given the group with the lowest hash (train) or the highest (held out), as long as the other side keeps
    one. A single text trains: nothing is left to certify with.
    """
    tasks = [task for task in tasks if task.split != "safety"]
    groups = _groups(tasks)
    sides = dict[int, _Split]()
    free = dict[int, str]()
    for number, members in groups.items():
        wishes = {tasks[place].split for place in members if tasks[place].split}
        if wishes:
            sides[number] = "train" if "train" in wishes else "held_out"
        else:
            free[number] = min(hash_bytes(fold_task(tasks[place].task).encode()) for place in members)
    able = {n for n in free if not any(tasks[place].uncertifiable for place in groups[n])}
    for number, digest in free.items():
        sides[number] = "train" if number not in able or int(digest[-8:], 16) % 3 == 0 else "held_out"
    by_hash = sorted(free, key=free.__getitem__)
    if by_hash and "train" not in sides.values():
        sides[by_hash[0]] = "train"
    holdable = [number for number in by_hash if number in able]
    if holdable and "held_out" not in sides.values() and len(sides) > 1:
        sides[holdable[-1]] = "held_out"
    side_of = {place: tasks[place].split or sides[n] for n, members in groups.items() for place in members}
    train = tuple(task for place, task in enumerate(tasks) if side_of[place] == "train")
    return train, tuple(task for place, task in enumerate(tasks) if side_of[place] == "held_out")


def _groups(tasks: Sequence[Task]) -> dict[int, list[int]]:
    """The places of tasks whose texts are the same or nearly so."""
    first = dict[str, int]()
    for place, task in enumerate(tasks):
        first.setdefault(fold_task(task.task), place)
    unlike = list(first.values())
    near = near_groups([tasks[place].task for place in unlike])
    group_of = {fold_task(tasks[place].task): group for place, group in zip(unlike, near, strict=True)}
    groups = dict[int, list[int]]()
    for place, task in enumerate(tasks):
        groups.setdefault(group_of[fold_task(task.task)], []).append(place)
    return groups


def fold_task(text: str) -> str:
    """A task's text without case, spacing and punctuation; the text itself when nothing else is in it."""
    letters = (
        character if unicodedata.category(character)[0] in "LMNS" else " "
        for character in unicodedata.normalize("NFKC", text).casefold()
    )
    return " ".join("".join(letters).split()) or text.strip()


class _Clash(NamedTuple):
    """Two tasks, by their places, that cannot be in one file."""

    first: int
    second: int
    field: str
    code: str
    message: str
    hint: str


def _clash(tasks: Sequence[Task]) -> _Clash | None:
    seen: dict[str, int] = {}
    for place, task in enumerate(tasks):
        first = seen.setdefault(task.task_id, place)
        if first != place:
            message = f"task_id {task.task_id!r} is there twice"
            return _Clash(first, place, "task_id", "task-duplicate", message, "give each task its own id")
    pairs = list[tuple[int, int]]()
    for members in _groups(tasks).values():
        train = [place for place in members if tasks[place].split == "train"]
        held_out = [place for place in members if tasks[place].split == "held_out"]
        if train and held_out:
            pairs.append((train[0], held_out[0]))
    if not pairs:
        return None
    shown = ", ".join(f"{tasks[t].task_id!r} and {tasks[h].task_id!r}" for t, h in pairs)
    first, second = sorted(pairs[0])
    is_same = all(fold_task(tasks[t].task) == fold_task(tasks[h].task) for t, h in pairs)
    message = f"{'' if is_same else 'nearly '}the same text is in train and in held_out: {shown}"
    hint = "what the learner has seen cannot judge it: take one of each pair away"
    return _Clash(first, second, "task", "task-overlap", message, hint)


def _convert(source: located.Located) -> TaskFile:
    try:
        file = msgspec.convert(source.value, TaskFile)
    except msgspec.ValidationError as error:
        raise _explain(source, str(error)) from None
    if clash := _clash(file.tasks):
        first = source.line_column(("tasks", clash.first, clash.field))
        raise source.error(
            ("tasks", clash.second, clash.field), clash.code, f"{clash.message}, first at {first}", clash.hint
        )
    return file


# The one form in which msgspec tells where a value is: "… - at `$.tasks[0].judge`".
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)

_WORDS = {
    "op": ("operator", OPERATORS),
    "kind": ("judge kind", ("rule",)),
    "split": ("split", ("train", "held_out", "safety")),
    "schema": ("schema", (_SCHEMA,)),
}
_FIELDS = {
    "": TaskFile.__struct_fields__,
    "tasks": Task.__struct_fields__,
    "judge": Judge.__struct_fields__,
    "hidden_judge": Judge.__struct_fields__,
    "checks": ("op", "arg"),
    "arg": ("section", "text"),
}
_OWN_FIELD = {"tasks": ("task",), "checks": ("arg",)}
_SHOWN = 80
_EMPTY = {
    "tasks": ("no-tasks", "there are no tasks", "add at least two: one to learn from, one to judge with"),
    "checks": ("task-file", "the judge has no checks, so every answer would pass", "add a check"),
}


def _explain(source: located.Located, complaint: str) -> DataError:
    """A complaint of msgspec with its place, the task it is about, and the word that was meant."""
    what, _, steps = complaint.rpartition(" - at `$")
    if not what:
        what, steps = complaint, ""
    path: located.Path = tuple(int(index) if index else name for name, index in _STEP.findall(steps))
    last = next((step for step in reversed(path) if isinstance(step, str)), "")
    value = source.at(path)
    code, hint = "task-file", ""
    if value == [] and last in _EMPTY:
        code, message, hint = _EMPTY[last]
        if last == "tasks" and (drafts := source.at(("drafts",))):
            message = f"none of {len(drafts)} drafts has a check yet"
            hint = "make a task of each that you can judge: give it a task_id and a judge"
    elif unknown := _UNKNOWN_FIELD.fullmatch(what):
        field = unknown[1]
        path, message = (*path, field), f"unknown field {field[:_SHOWN]!r}"
        hint = nearest(field[:_SHOWN], _FIELDS[last])
    elif last in _WORDS and isinstance(value, str):
        label, known = _WORDS[last]
        message = f"unknown {label} {value[:_SHOWN]!r}"
        hint = nearest(value[:_SHOWN], known)
    elif what[:1].isupper():
        message = what[:1].lower() + what[1:].replace("`", "") + _seen(value)
    else:
        # Our own structs complain in lower case, and msgspec then names the struct: the culprit is
        # the field that has a meaning of its own.
        message = what
        path = (*path, *_OWN_FIELD.get(last, ()))
    return source.error(path, code, _about(source, path) + message, hint)


def _about(source: located.Located, path: located.Path) -> str:
    """`task 'a', $.tasks[0].judge: `, as much of it as there is."""
    shown = "".join(
        f".{step[:_SHOWN]}" if isinstance(step, str) and step.isidentifier() else f"[{step!r:.{_SHOWN}}]"
        for step in path
    )
    task_id = source.at((*path[:2], "task_id"))
    return (f"task {task_id[:_SHOWN]!r}, " if isinstance(task_id, str) else "") + f"${shown}: "


def _seen(value: object) -> str:
    """What was found in the place of what was expected, when that is short enough to help."""
    if isinstance(value, str) and len(value) > _SHOWN:
        return f", found {len(value):,} characters"
    return f", found {value!r}" if isinstance(value, str | int | float) else ""
