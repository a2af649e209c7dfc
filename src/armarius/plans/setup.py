"""Plans brought into a repository: PLANS.md, a block in AGENTS.md, the folder, and new plans.

Owns those files and their text. Does not own what a plan has to say (`rules.py`).
Invariant: what is there stays, byte for byte; only a block between our marks is added, once. A file appears
whole or not at all. No link is followed, neither to a file nor to a folder.
"""

import contextlib
import os
import re
import secrets
import stat
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, Refused, UsageError
from armarius.files import file_kind, read_bounded, write_atomic
from armarius.plans.check import PLANS_FILES, Checked, Repository

__all__ = ["FOLDER", "Made", "NewPlan", "PlansReport", "init", "new_plan", "slug_of", "stamp"]

FOLDER: Final = "execplans"
_AGENTS: Final = "AGENTS.md"
_LARGEST: Final = 8 << 20
_LONGEST_TITLE: Final = 100
_LONGEST_SLUG: Final = 60
_OPEN: Final = b"<!-- armarius execplans: begin -->"
_CLOSE: Final = b"<!-- armarius execplans: end -->"
_BLOCK: Final = (
    b"# ExecPlans",
    b"",
    b"When writing complex features or significant refactors, use an ExecPlan (as described in `%s`),",
    b"from design to implementation.",
    b'Plans lie in `execplans/`. `armarius plan new "Title"` makes one, `armarius plan check` checks it.',
)


class Made(msgspec.Struct, frozen=True):
    """One place: whether it was made, added to, or kept as it was."""

    path: str
    action: Literal["created", "added", "kept"]


class PlansReport(msgspec.Struct, frozen=True):
    """What `init` did, or would do (`armarius.plan_init.v1`)."""

    root: str
    files: tuple[Made, ...]
    dry_run: bool = False
    schema: str = "armarius.plan_init.v1"


class NewPlan(msgspec.Struct, frozen=True):
    """A plan that was made, and what of the rules is left for its author (`armarius.plan_new.v1`)."""

    path: str
    title: str
    left: Checked
    schema: str = "armarius.plan_new.v1"


def init(root: Path, *, dry_run: bool = False) -> PlansReport:
    """Bring plans into the repository at `root`; all places are looked at before the first is written."""
    plans_file = next((root / name for name in PLANS_FILES if os.path.lexists(root / name)), root / PLANS_FILES[0])
    agents = root / _AGENTS
    for path, wanted in ((plans_file.parent, stat.S_IFDIR), (plans_file, stat.S_IFREG), (agents, stat.S_IFREG)):
        _refuse_other(path, wanted)
    _refuse_other(root / FOLDER, stat.S_IFDIR)
    before = read_bounded(agents, _LARGEST) if agents.exists() else None
    after = _with_block(before or b"", plans_file.relative_to(root).as_posix().encode())
    files = (
        Made(plans_file.relative_to(root).as_posix(), "kept" if plans_file.exists() else "created"),
        Made(_AGENTS, "created" if before is None else "kept" if after == before else "added"),
        Made(FOLDER + "/", "kept" if (root / FOLDER).exists() else "created"),
    )
    if not dry_run:
        plans_file.parent.mkdir(exist_ok=True)
        create(plans_file, Path(__file__).with_name("PLANS.md").read_bytes())
        if before is None:
            create(agents, after)
        elif after != before:
            _replace(agents, before, after)
        (root / FOLDER).mkdir(exist_ok=True)
    return PlansReport(str(root), files, dry_run)


def new_plan(root: Path, title: str, clock: Clock) -> NewPlan:
    """Make `execplans/execplan-<slug>.md`; UsageError when there is one."""
    said = " ".join(title.split())
    if not said or any(unicodedata.category(each)[0] == "C" for each in said):
        raise UsageError("plan-title", f"{title!r} is no title", "say in a few words what is to be done")
    if len(said) > _LONGEST_TITLE:
        raise UsageError("plan-title", f"the title has {len(said)} characters", f"at most {_LONGEST_TITLE}")
    folder = root / FOLDER
    _refuse_other(folder, stat.S_IFDIR)
    path = folder / f"execplan-{slug_of(said)}.md"
    repository = Repository(root)
    name = repository.plans_file
    follows = f"\n\nIt is maintained in accordance with `{name}`." if name else ""
    text = Path(__file__).with_name("plan.md").read_text(encoding="utf-8")
    filled = {"title": said, "follows": follows, "now": stamp(clock), "path": path.relative_to(root).as_posix()}
    for key, value in filled.items():
        text = text.replace(f"{{{key}}}", value, 1)
    folder.mkdir(exist_ok=True)
    if not create(path, text.encode()):
        hint = "choose another title, or go on with it: `armarius plan resume`"
        raise UsageError("plan-exists", f"{filled['path']} is there", hint)
    return NewPlan(filled["path"], said, repository.check(path))


def slug_of(title: str) -> str:
    """A title as a part of a file's name."""
    folded = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")[:_LONGEST_SLUG].strip("-")
    if not slug:
        raise UsageError("plan-title", f"{title!r} has no letter or digit for a file's name", "add a word in a-z")
    return slug


def stamp(clock: Clock) -> str:
    """Now, as Progress has it."""
    return f"{datetime.fromtimestamp(clock.now_us() // 1_000_000, tz=UTC):%Y-%m-%d %H:%M}Z"


def create(path: Path, data: bytes) -> bool:
    """Make a file that is not there, whole; whether it was made. One that is there stays as it is."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        write_atomic(draft, data, mode=0o644)
        try:
            os.link(draft, path, follow_symlinks=False)  # fails, whatever stands there
        except FileExistsError:
            return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return True


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """Write a person's file anew, unless somebody else did meanwhile."""
    mode = stat.S_IMODE(path.lstat().st_mode)
    if read_bounded(path, _LARGEST) != before:
        raise DataError("changed-meanwhile", f"{path} was changed meanwhile", "try again")
    write_atomic(path, after, mode=mode)


def _with_block(text: bytes, plans_file: bytes) -> bytes:
    """AGENTS.md with our block at its end, or as it is when it has one."""
    opens, closes = text.count(_OPEN), text.count(_CLOSE)
    if (opens, closes) != (0, 0):
        if (opens, closes) != (1, 1) or text.index(_OPEN) > text.index(_CLOSE):
            said = f"{_AGENTS} has a mark of our block without the other one"
            raise Refused("plans-block", said, f"take the lines {_OPEN.decode()} and {_CLOSE.decode()} out")
        return text
    end = b"\r\n" if b"\r\n" in text else b"\n"
    lines = (_OPEN, *(line.replace(b"%s", plans_file) for line in _BLOCK), _CLOSE, b"")
    gap = b"" if not text else end if text.endswith(b"\n") else end + end
    return text + gap + end.join(lines)


def _refuse_other(path: Path, wanted: int) -> None:
    """What we would write to or into is nothing but what it is called."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise Refused("plans-link", f"{path} is a symbolic link", "put a file or folder of its own in its place")
    if stat.S_IFMT(mode) != wanted:
        raise DataError("plans-kind", f"{path} is a {file_kind(mode)}", "move it away")
