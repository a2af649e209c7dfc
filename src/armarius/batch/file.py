"""A file of runs that are handed in together -> a plan.

Owns the file's two forms, what an item may say, and every check that needs nothing but the file. Does not
own whether an item may run (`desk.py`) nor when (`batch.py`).
Invariant: a plan is whole: prompts and schemas are in it, its paths are absolute, every item that one names
is there, and nothing comes after itself. What is wrong is one DataError with its line.

    TOML    `batch`, `workers`, `budget` and `defaults`, then `[[run]]` for each item
    JSONL   an item a line; the first line may hold `batch`, `workers`, `budget` and `defaults` instead
"""

import graphlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec

from armarius.budget import NO_BUDGET, Budget
from armarius.codex.command import Approval, ConfigValue
from armarius.errors import ArmariusError, DataError, nearest
from armarius.files import read_bounded
from armarius.identity import hash_value
from armarius.runs.answer import check_schema, read_schema

__all__ = ["Item", "Plan", "Read", "bare_toml", "read_plan"]

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_Name = Annotated[str, msgspec.Meta(pattern=rf"^{_NAME}\Z")]
_LARGEST = 16 << 20
_MOST_ITEMS = 10_000
_MOST_WORKERS = 256
_DEEPEST_KEY = 32
_BOM = "\ufeff"

_TOKEN = re.compile(
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']++|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""What of a TOML file is text or remark, and so no structure."""
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*run[ \t]*\]\]", re.MULTILINE)
_DOTTED = re.compile(rf"(?:\.[ \t]*[A-Za-z0-9_-]+[ \t]*){{{_DEEPEST_KEY},}}")


class _Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an item is to be done: what `armarius run` has flags for, by the same names.

    `checkout_from` is its `--from`; `after_session` its `--after`, which is another thing than the items of `after`.
    """

    cwd: str | None = None
    sandbox: str | None = None
    model: str | None = None
    effort: str | None = None
    service_tier: str | None = None
    profile: str | None = None
    images: tuple[str, ...] = ()
    add_dirs: tuple[str, ...] = ()
    config: dict[str, ConfigValue] = {}
    lane: str | None = None
    schema_file: str | None = None
    timeout: float | None = None
    ephemeral: bool = False
    skip_git_check: bool = False
    budget: Budget = NO_BUDGET
    approval: Approval = "never"
    checkout: bool = False
    checkout_from: str | None = None
    with_uncommitted: bool = False
    allow_commit: bool = False
    scope: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    after_session: str | None = None
    reviewed: str | None = None
    require: tuple[str, ...] = ()


class Item(_Wishes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of a batch.

    It begins when all of `after` and `inputs` have succeeded; the answers of `inputs` go with its prompt.
    `thread` is what a `resume` or a `fork` goes on from; `uncommitted`, `base` or `commit` is what a `review` is of.
    """

    id: _Name
    kind: Literal["run", "resume", "fork", "review"] = "run"
    prompt: str = ""
    prompt_file: str | None = None
    thread: str | None = None
    uncommitted: bool = False
    base: str | None = None
    commit: str | None = None
    after: tuple[_Name, ...] = ()
    inputs: tuple[_Name, ...] = ()
    schema: dict[str, Any] | None = None

    @property
    def prior(self) -> tuple[str, ...]:
        """The items that it comes after."""
        return tuple(dict.fromkeys((*self.after, *self.inputs)))


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says of all its items together."""

    batch: _Name | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=_MOST_WORKERS)] | None = None
    budget: Budget = NO_BUDGET
    defaults: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True):
    """Items in the order of their file. `budget` is for all of them together."""

    id: str
    items: tuple[Item, ...]
    workers: int | None = None
    budget: Budget = NO_BUDGET

    def order(self) -> tuple[tuple[str, ...], ...]:
        """The items in groups: none of a group comes after another of it."""
        known = {item.id: place for place, item in enumerate(self.items)}
        sorter = graphlib.TopologicalSorter({item.id: item.prior for item in self.items})
        sorter.prepare()
        groups = list[tuple[str, ...]]()
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=known.__getitem__)
            groups.append(tuple(ready))
            sorter.done(*ready)
        return tuple(groups)

    def digests(self) -> dict[str, str]:
        """For each item a hash of all that it was asked, and of what it comes after."""
        asked = {item.id: item for item in self.items}
        found = dict[str, str]()
        for group in self.order():
            for item in (asked[name] for name in group):
                found[item.id] = hash_value([msgspec.to_builtins(item), [found[name] for name in item.prior]])
        return found


class Read(NamedTuple):
    """A plan and where each of its items stands, for whoever finds something wrong with one."""

    plan: Plan
    places: dict[str, str]


class _Raw(NamedTuple):
    place: str
    said: dict[str, Any]


def read_plan(path: Path | None, data: bytes | None = None) -> Read:
    """The plan in a file, or in `data` that came from standard input; DataError for anything that is none."""
    name = "standard input" if path is None else str(path)
    folder = Path.cwd() if path is None else path.absolute().parent
    text = _text(name, (read_bounded(path, _LARGEST) if path is not None else data) or b"")
    is_lines = text.lstrip().startswith("{")
    raw_head, raws = _lines(name, text) if is_lines else _toml(name, text)
    if not is_lines:
        _known_keys(raw_head.place, raw_head.said, (*_Head.__struct_fields__, "run"))
    head = _converted(raw_head.place, raw_head.said, _Head)
    _known_keys(f"{raw_head.place}: defaults", head.defaults, _Wishes.__struct_fields__)
    if not raws:
        raise DataError("batch-empty", f"{name}: there is no item", "write `[[run]]` for each, or one JSON a line")
    if len(raws) > _MOST_ITEMS:
        raise DataError("batch-size", f"{name}: {len(raws):,} items are too many", f"at most {_MOST_ITEMS:,}")
    items = tuple(_item(raw, head.defaults, folder) for raw in raws)
    places = _placed(items, raws)
    _check_order(items, places)
    _check_threads(items, places)
    plan = Plan("", items, head.workers, head.budget)
    try:
        whole = hash_value(sorted(plan.digests().items()))
    except ValueError as error:  # a number that is none
        raise DataError("batch-value", f"{name}: {error}", "write a finite number") from error
    given = head.batch or "batch-" + whole.removeprefix("sha256:")[:16]
    return Read(msgspec.structs.replace(plan, id=given), places)


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode().removeprefix(_BOM)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            "batch-encoding", f"{name}:{line}: byte {error.start} is not UTF-8", "save it as UTF-8"
        ) from error


def bare_toml(name: str, text: str) -> str:
    """A TOML file without what is text or remark; DataError for a key of more parts than a parser takes well."""
    # Of equal length, so that places are the same; tomllib takes seconds for a key of thousands of parts.
    bare = _TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    if deep := _DOTTED.search(bare):
        line = bare.count("\n", 0, deep.start()) + 1
        raise DataError("batch-syntax", f"{name}:{line}: a key of more than {_DEEPEST_KEY} parts", "shorten it")
    return bare


def _toml(name: str, text: str) -> tuple[_Raw, list[_Raw]]:
    """The head and the items of a TOML file."""
    bare = bare_toml(name, text)
    try:
        whole = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number or a nesting without measure
        raise DataError("batch-syntax", f"{name}: {error}", "correct the file") from error
    runs: Any = whole.pop("run", [])
    if not isinstance(runs, list) or not all(isinstance(one, dict) for one in cast("list[Any]", runs)):
        raise DataError("batch-syntax", f"{name}: `run` is no list of tables", "write `[[run]]` before each item")
    items = cast("list[dict[str, Any]]", runs)
    lines = [bare.count("\n", 0, match.start()) + 1 for match in _HEADER.finditer(bare)]
    if len(lines) != len(items):  # written in another way: count them
        return _Raw(name, whole), [_Raw(f"{name}: run {at}", said) for at, said in enumerate(items, 1)]
    return _Raw(name, whole), [_Raw(f"{name}:{line}", said) for line, said in zip(lines, items, strict=True)]


def _lines(name: str, text: str) -> tuple[_Raw, list[_Raw]]:
    """The head and the items of a file with an object a line."""
    raws = list[_Raw]()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            said: Any = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise DataError("batch-syntax", f"{place}: {error}", "write one JSON object a line") from error
        if not isinstance(said, dict):
            raise DataError("batch-syntax", f"{place}: no JSON object", "write one JSON object a line")
        raws.append(_Raw(place, cast("dict[str, Any]", said)))
    if raws and "id" not in raws[0].said and raws[0].said.keys() & set(_Head.__struct_fields__):
        return raws[0], raws[1:]
    return _Raw(name, {}), raws


def _converted(place: str, said: Mapping[str, Any], kind: Any) -> Any:
    _known_keys(place, said, kind.__struct_fields__)
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as error:
        raise DataError("batch-value", f"{place}: {error}", "correct it") from error


def _known_keys(place: str, said: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in said:
        if key not in known:
            raise DataError("batch-key", f"{place}: unknown key `{key[:100]}`", nearest(key[:100], known))


def _item(raw: _Raw, defaults: Mapping[str, Any], folder: Path) -> Item:
    """One item, with the defaults under it and the files that it names read."""
    said: dict[str, Any] = {**defaults, **raw.said}
    if isinstance(defaults.get("config"), dict) and isinstance(raw.said.get("config"), dict):
        said["config"] = defaults["config"] | raw.said["config"]
    if "schema" in raw.said and "schema_file" not in raw.said:
        said.pop("schema_file", None)
    item: Item = _converted(raw.place, said, Item)
    place = f"{raw.place} ({item.id!r})"
    try:
        return _whole(item, folder)
    except ArmariusError as error:
        raise type(error)(error.code, f"{place}: {error.message}", error.hint) from error


def _whole(item: Item, folder: Path) -> Item:
    prompt, schema = item.prompt, item.schema
    if item.prompt_file is not None:
        if prompt:
            raise DataError("batch-prompt", "both `prompt` and `prompt_file`", "leave one out")
        prompt = _text(str(folder / item.prompt_file), read_bounded(folder / item.prompt_file, _LARGEST))
    if schema is not None and item.schema_file is not None:
        raise DataError("batch-schema", "both `schema` and `schema_file`", "leave one out")
    if item.schema_file is not None:
        schema = read_schema(folder / item.schema_file)
    elif schema is not None:
        check_schema(schema, "schema")
    goes_on = item.kind in {"resume", "fork"}
    if goes_on != (item.thread is not None):
        way_out = "name the session or run as `thread`" if goes_on else "leave it out, or say kind = 'resume'"
        raise DataError("batch-thread", f"a {item.kind} {'needs' if goes_on else 'has no'} `thread`", way_out)
    if item.kind != "review" and (item.uncommitted or item.base is not None or item.commit is not None):
        raise DataError("batch-review", f"a {item.kind} reviews nothing", "say kind = 'review'")
    return msgspec.structs.replace(
        item,
        prompt=prompt,
        prompt_file=None,
        schema=schema,
        schema_file=None,
        cwd=str(folder / item.cwd) if item.cwd is not None else None if goes_on else str(Path.cwd()),
        images=tuple(str(folder / image) for image in item.images),
        add_dirs=tuple(str(folder / one) for one in item.add_dirs),
    )


def _placed(items: tuple[Item, ...], raws: list[_Raw]) -> dict[str, str]:
    """Where each item stands; no two may have one name, nor names that some file systems take for one."""
    places = dict[str, str]()
    folded = dict[str, str]()
    for item, raw in zip(items, raws, strict=True):
        other = folded.setdefault(item.id.casefold(), item.id)
        if item.id in places or other != item.id:
            also = "is there twice" if other == item.id else f"differs from {other!r} in its case alone"
            where = f"{raw.place}: the id {item.id!r} {also}, first at {places[other]}"
            raise DataError("batch-id", where, "give it another one")
        places[item.id] = raw.place
    return places


def _check_order(items: tuple[Item, ...], places: Mapping[str, str]) -> None:
    """Every item that is named is there, and none comes after itself."""
    for item in items:
        for name in item.prior:
            if name not in places:
                where = f"{places[item.id]} ({item.id!r})"
                raise DataError("batch-after", f"{where}: there is no item {name!r}", nearest(name, tuple(places)))
    try:
        graphlib.TopologicalSorter({item.id: item.prior for item in items}).prepare()
    except graphlib.CycleError as error:
        ring = cast("list[str]", error.args[1])
        told = " → ".join(reversed(ring[:10])) + (" → …" if len(ring) > len(ring[:10]) else "")
        where = places[ring[0]]
        raise DataError("batch-cycle", f"{where} ({ring[0]!r}): it waits for itself: {told}", "cut it") from error


def _check_threads(items: tuple[Item, ...], places: Mapping[str, str]) -> None:
    """Of those that go on in one session, each comes after the one before: Codex allows one writer."""
    last = dict[str, Item]()
    for item in items:
        if item.kind == "resume" and item.thread is not None:
            before = last.get(item.thread)
            if before is not None and before.id not in item.prior and before.id not in _all_before(item, items):
                where = f"{places[item.id]} ({item.id!r})"
                raise DataError(
                    "batch-thread",
                    f"{where}: {before.id!r} goes on in the same session",
                    f"add after = [{before.id!r}]",
                )
            last[item.thread] = item


def _all_before(item: Item, items: tuple[Item, ...]) -> set[str]:
    asked = {one.id: one for one in items}
    found, coming = set[str](), list(item.prior)
    while coming:
        name = coming.pop()
        if name not in found:
            found.add(name)
            coming += asked[name].prior
    return found
