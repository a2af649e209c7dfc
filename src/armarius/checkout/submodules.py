"""Submodules of a checkout, taken from what the parent already has.

Owns finding their objects and checking them out. Does not own the repository above them.
Invariant: no submodule command is run and no address is read: a submodule comes from a folder inside the parent's
own one, or it is skipped with the reason.
"""

import os
from pathlib import Path
from typing import Literal

import msgspec

from armarius.checkout.git import EXACT, Git, Repository, share_objects, shown
from armarius.errors import ArmariusError

__all__ = ["Submodule", "fill"]

_DEEPEST = 8
_GITLINK = b"160000"


class Submodule(msgspec.Struct, frozen=True):
    """A submodule. `path` keeps its bytes (lone surrogates); `objects` is where its commit comes from."""

    path: str
    commit: str
    state: Literal["ready", "skipped"]
    reason: str = ""
    objects: str = ""


def fill(
    repo: Repository, git: Git, commit: str, tree: Path, *, above: str = "", depth: int = 0
) -> tuple[Submodule, ...]:
    """Check out every submodule of `commit` below `tree`, also those of submodules."""
    entries = git("ls-tree", "-r", "-z", commit).split(b"\0")
    links = [entry.partition(b"\t")[::2] for entry in entries if entry.startswith(_GITLINK)]
    found: list[Submodule] = []
    names = _names(git, commit) if links else {}
    for head, raw in links:
        path, wanted = os.fsdecode(raw), head.split()[2].decode()
        full = f"{above}{path}"
        inner = _Skipped("too deep") if depth >= _DEEPEST else _source(repo, path, names.get(path), wanted)
        if not isinstance(inner, _Skipped) and git.line("ls-files", "-t", "--", path).startswith("S "):
            inner = _Skipped("left out by the sparse checkout")
        if isinstance(inner, _Skipped):
            found.append(Submodule(full, wanted, "skipped", inner.reason))
            continue
        place = tree / path
        inside = _check_out(inner, place, wanted)
        found.append(Submodule(full, wanted, "ready", "", str(inner.common / "objects")))
        found.extend(fill(inner, inside, wanted, place, above=f"{full}/", depth=depth + 1))
    return tuple(found)


class _Skipped(msgspec.Struct, frozen=True):
    reason: str


def _names(git: Git, commit: str) -> dict[str, str]:
    """Path -> name, as the commit says; nothing when what it says cannot be read."""
    code, said = git.answer(
        "config", "--blob", f"{commit}:.gitmodules", "-z", "--get-regexp", r"^submodule\..*\.path$", codes=(0, 1, 128)
    )
    pairs = [os.fsdecode(entry).partition("\n")[::2] for entry in said.split(b"\0") if entry] if code == 0 else []
    return {path: key.removeprefix("submodule.").removesuffix(".path") for key, path in pairs}


def _source(repo: Repository, path: str, name: str | None, commit: str) -> Repository | _Skipped:
    """The parent's own repository of a submodule, when it has the commit."""
    if name is None:
        return _Skipped("not named in .gitmodules")
    modules = Path(os.path.realpath(repo.common / "modules"))
    candidate = Path(os.path.realpath(modules / name))
    if not candidate.is_relative_to(modules) or candidate == modules:
        return _Skipped("its name leads out of the repository")
    if not candidate.is_dir():
        embedded = Path(os.path.realpath(repo.top / path / ".git")) if repo.top else candidate
        if not (repo.top and embedded.is_dir() and embedded.is_relative_to(os.path.realpath(repo.top))):
            return _Skipped("not initialised in the parent")
        candidate = embedded
    if not (candidate / "objects").is_dir():
        return _Skipped("no repository where the parent keeps it")
    same = msgspec.structs.replace(repo, top=None, own=candidate, common=candidate, prefix="", config={})
    try:
        owner = candidate.stat().st_uid
        if owner != os.geteuid() and owner != repo.common.stat().st_uid:
            return _Skipped(f"belongs to user {owner}")
        return same if same.commit_of(commit) == commit else _Skipped("the parent has not got its commit")
    except ArmariusError as error:
        return _Skipped(shown(error.message))


def _check_out(inner: Repository, place: Path, commit: str) -> Git:
    """The files of a submodule's commit, in a repository of their own."""
    Git(place.parent, inner.environ)(
        "init", "--quiet", "--template=", f"--object-format={inner.object_format}", str(place)
    )
    share_objects(place / ".git", inner)
    (place / ".git" / "info" / "attributes").write_bytes(EXACT)
    git = Git(place, inner.environ | {"GIT_DIR": str(place / ".git"), "GIT_WORK_TREE": str(place)})
    git("checkout", "--quiet", "--detach", "--no-recurse-submodules", commit)
    return git
