"""What a run made in its checkout, as one commit in the parent repository.

Owns reading the agent's files, their comparison with the first commit, and the commit of the difference. Does not
own whether the run succeeded, nor merging (merge.py).
Invariant: nothing that the agent could have written is given to git but bytes and names: its `.git`, index,
configuration, hooks, attributes, alternates and links are never followed. Git makes trees of what we read ourselves,
and the parent takes them in only after checking each object. What is not in the commit is named with a reason.

A commit of the agent's own (where the sandbox allowed it) is not taken over; what it left in the files is. Ignored
files are listed and not committed: as the `.gitignore` files say that the agent left behind.
"""

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from armarius.checkout import scopes
from armarius.checkout.base import LeftOut, identity
from armarius.checkout.blobs import Blobs, Entry, Limits
from armarius.checkout.folder import Reader, Walk, walk
from armarius.checkout.git import Git, Repository, bring, locked, own_store, shown
from armarius.checkout.prepare import Checkout, run_ref
from armarius.clock import Clock
from armarius.errors import DataError, Failed

__all__ = ["Change", "Collected", "Limits", "collect"]

_LARGEST_IGNORE = 1 << 20
_IGNORED_SHOWN = 1000
_GITLINK = "160000"
_ORDINARY = Limits()
_WORDS = {"A": "added", "M": "modified", "D": "deleted", "T": "retyped"}


class Change(msgspec.Struct, frozen=True):
    """A path in the commit that differs from the first one. `mode` is git's: `000000` when it is gone."""

    path: str
    status: Literal["added", "modified", "deleted", "retyped"]
    mode: str


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a checkout. `commit` and `ref` are None when nothing was changed.

    `outside` are changed paths that the declared scope does not cover, and links in it that lead out of the
    repository. `ignored` names whole folders where it can, and at most a thousand; `ignored_count` counts files.
    `left_out` changed but are not in the commit: nothing of them survives the checkout. `unfiltered` are in it as the
    agent left them, although their owner has a filter for them (Git LFS): it was not run.
    """

    run_id: str
    base: str
    tree_before: str
    tree_after: str
    commit: str | None
    ref: str | None
    changes: tuple[Change, ...]
    outside: tuple[str, ...]
    leading_out: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    unfiltered: tuple[str, ...]
    ignored: tuple[str, ...]
    ignored_count: int


class _Difference(NamedTuple):
    """Index entries to write and paths to take out, and what is to be said about the rest.

    `ignored` names whole folders where nothing else is in them.
    """

    written: dict[str, Entry]
    deleted: list[str]
    left_out: dict[str, str]
    ignored: list[str]
    ignored_count: int


def collect(
    repo: Repository,
    checkout: Checkout,
    clock: Clock,
    message: str,
    *,
    scope: Iterable[str] | None = None,
    limits: Limits = _ORDINARY,
) -> Collected:
    """Commit what the run changed and keep it at `refs/armarius/runs/<id>`. Call it when the agent has ended.

    Called again it looks again: the reference moves when the files have changed since, and stays when not.
    """
    patterns = None if scope is None else scopes.check(scope)
    folder = Path(checkout.folder) / "collect"
    shutil.rmtree(folder, ignore_errors=True)  # of a collect that was killed; the agent cannot write here
    folder.mkdir(mode=0o700)
    git = own_store(folder / "store.git", repo, head=checkout.base)
    difference = _compare(git, checkout, folder, limits)
    before, after = _write_tree(git, checkout.base, difference)
    ref = run_ref(checkout.run_id)
    commit = None
    if after != before:
        commit = _commit(repo, git, checkout, after, message, clock=clock)
    with locked(repo):
        old = repo.commit_of(ref)
        if commit is not None and commit != old:
            bring(repo, git, commit)
        if commit != old:
            repo.move_ref(ref, commit, old)
    changes = _changes(git, before, after)
    leading_out = _leading_out(checkout.tree, [change.path for change in changes if change.mode == "120000"])
    beyond = (
        ()
        if patterns is None
        else tuple(
            change.path for change in changes if not scopes.covers(patterns, change.path) or change.path in leading_out
        )
    )
    collected = Collected(
        run_id=checkout.run_id,
        base=checkout.base,
        tree_before=before,
        tree_after=after,
        commit=commit,
        ref=ref if commit else None,
        changes=tuple(msgspec.structs.replace(change, path=shown(change.path)) for change in changes),
        outside=tuple(shown(path) for path in beyond),
        leading_out=tuple(shown(path) for path in leading_out),
        left_out=tuple(LeftOut(shown(path), reason) for path, reason in sorted(difference.left_out.items())),
        unfiltered=tuple(shown(path) for path in _filtered(git, changes)),
        ignored=tuple(shown(path) for path in difference.ignored[:_IGNORED_SHOWN]),
        ignored_count=difference.ignored_count,
    )
    shutil.rmtree(folder)
    return collected


def _compare(git: Git, checkout: Checkout, folder: Path, limits: Limits) -> _Difference:
    known = _listing(git, checkout.base)
    links = {path for path, entry in known.items() if entry.mode == _GITLINK}
    inner = _inner_listing(git, checkout)
    found = walk(checkout.tree)
    ours = {f"{module.path}/.git" for module in checkout.submodules if module.state == "ready"}
    left_out = {path: reason for path, reason in found.closed.items() if path not in ours}
    with Reader(checkout.tree) as reader:
        objects = Blobs(folder / "store.git" / "objects", len(checkout.base), limits, reader)
        new = [path for path in found.files if path not in known and path not in inner]
        ignored = _ignored(git, folder / "rules", reader, found, new)
        written: dict[str, Entry] = {}
        for path in sorted(found.files):
            if path in ignored:
                continue
            within = _within(path, links)
            entry = inner.get(path) if within else known.get(path)
            if within is None and entry is not None and entry.mode == _GITLINK:
                left_out[path] = "stands where a submodule belongs"
                continue
            seen = objects.look(path, found.files[path], entry, keep=within is None)
            if isinstance(seen, str):
                left_out[path] = seen
            elif seen != entry:
                if within is not None:
                    left_out[path] = f"in the submodule {shown(within)}, whose commits are made there"
                elif _is_link_of_gits(path, seen):
                    left_out[path] = "a link that git does not take"
                else:
                    written[path] = seen
    gone = _gone(known, checkout, found, left_out)
    left_out |= {
        path: "deleted in a submodule" for path in inner if path not in found.files and _within(path, links) not in gone
    }
    folded = _folded(ignored, [path for path in (*found.files, *left_out) if path not in ignored])
    return _Difference(written, gone, left_out, folded, len(ignored))


def _gone(known: dict[str, Entry], checkout: Checkout, found: Walk, left_out: dict[str, str]) -> list[str]:
    """Known paths that are not there any more; what could not be looked into counts as unchanged."""
    absent = set(checkout.absent)
    skipped = {module.path for module in checkout.submodules if module.state == "skipped"}
    gone: list[str] = []
    for path, entry in known.items():
        if path in found.files or path in absent or path in left_out or "" in left_out:
            continue
        if entry.mode == _GITLINK and (path in found.folders or path in skipped):
            continue
        if _within(path, left_out) is None:
            gone.append(path)
    return gone


def _within(path: str, places: "set[str] | dict[str, str]") -> str | None:
    """The first of `places` that the path lies below."""
    if places:
        at = path.find("/")
        while at > 0:
            if path[:at] in places:
                return path[:at]
            at = path.find("/", at + 1)
    return None


def _is_link_of_gits(path: str, entry: Entry) -> bool:
    return entry.mode == "120000" and path.rpartition("/")[2].casefold().startswith((".gitmodules", "gitmod~"))


def _listing(git: Git, commit: str, above: str = "") -> dict[str, Entry]:
    """Every path of a commit."""
    found: dict[str, Entry] = {}
    for entry in git("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        if entry:
            head, _, path = entry.partition(b"\t")
            mode, _, oid = head.decode().split(" ")
            found[above + os.fsdecode(path)] = Entry(mode, oid)
    return found


def _inner_listing(git: Git, checkout: Checkout) -> dict[str, Entry]:
    """Every path of the submodules that were checked out."""
    found: dict[str, Entry] = {}
    for module in checkout.submodules:
        if module.state == "ready":
            listed = _listing(git.plus({"GIT_OBJECT_DIRECTORY": module.objects}), module.commit, f"{module.path}/")
            found |= {path: entry for path, entry in listed.items() if entry.mode != _GITLINK}
    return found


def _ignored(git: Git, rules: Path, reader: Reader, found: Walk, new: list[str]) -> set[str]:
    """Which new paths the `.gitignore` files name, asked in a folder that holds nothing but copies of these."""
    rules.mkdir()
    for path in found.files:
        if path.rpartition("/")[2] == ".gitignore" and stat.S_ISREG(found.files[path].mode):
            try:
                with os.fdopen(reader.open(path), "rb") as file:
                    data = file.read(_LARGEST_IGNORE)
            except OSError:
                continue  # gone or replaced meanwhile: it ignores nothing
            (rules / path).parent.mkdir(parents=True, exist_ok=True)
            (rules / path).write_bytes(data)
    if not new:
        return set()
    # This command takes no literal names; behind `./` none is anything else.
    beside = Git(rules, git.environ | {"GIT_WORK_TREE": str(rules), "GIT_LITERAL_PATHSPECS": "0"}, git.config)
    asked = b"".join(b"./" + os.fsencode(path) + b"\0" for path in new)
    said = beside("check-ignore", "-z", "--stdin", "--no-index", data=asked, codes=(0, 1))
    return {os.fsdecode(path[2:]) for path in said.split(b"\0") if path}


def _write_tree(git: Git, base: str, difference: _Difference) -> tuple[str, str]:
    """The trees before and after."""
    before = git.line("rev-parse", f"{base}^{{tree}}")
    if not difference.written and not difference.deleted:
        return before, before
    none = "0" * len(base)
    lines = [b"0 %s\t%s\0" % (none.encode(), os.fsencode(path)) for path in difference.deleted]
    for path, entry in difference.written.items():
        lines.append(f"{entry.mode} {entry.oid}\t".encode() + os.fsencode(path) + b"\0")
    git("read-tree", base)
    try:
        git("update-index", "-z", "--replace", "--index-info", data=b"".join(lines))
        return before, git.line("write-tree", "--missing-ok")
    except Failed as error:
        raise DataError("checkout-path", error.message, "look at the checkout by hand") from error


def _commit(repo: Repository, git: Git, checkout: Checkout, tree: str, message: str, *, clock: Clock) -> str:
    """A commit on the first one; the one that is there already when it says the same."""
    text = message.replace("\0", " ").strip() or f"Work of {checkout.run_id}"
    who = identity(checkout.run_id, clock)
    data = text.encode(errors="replace") + b"\n"
    old = repo.commit_of(run_ref(checkout.run_id))
    if old is not None:
        seen = repo.git("cat-file", "commit", old)
        head, _, said = seen.partition(b"\n\n")
        if head.startswith(f"tree {tree}\nparent {checkout.base}\n".encode()) and said == data:
            return old
    return git.plus(who).line("commit-tree", tree, "-p", checkout.base, "-F", "-", data=data)


def _changes(git: Git, before: str, after: str) -> list[Change]:
    """What differs between the trees; paths keep their bytes."""
    words = git("diff-tree", "-r", "-z", "--raw", "--no-renames", before, after).split(b"\0")
    found: list[Change] = []
    for head, path in zip(words[0::2], words[1::2], strict=False):
        _, mode, _, _, status = head.decode().split(" ")
        found.append(Change(os.fsdecode(path), _WORDS[status], mode))  # pyright: ignore[reportArgumentType]  # of git's own letters
    return found


def _filtered(git: Git, changes: list[Change]) -> list[str]:
    """Changed files that the attributes in the new tree send through a filter."""
    paths = b"".join(os.fsencode(change.path) + b"\0" for change in changes if change.mode.startswith("100"))
    if not paths:
        return []
    words = git("check-attr", "--cached", "-z", "--stdin", "filter", data=paths).split(b"\0")
    named = zip(words[0::3], words[2::3], strict=False)
    return [os.fsdecode(path) for path, value in named if value not in {b"unspecified", b"unset"}]


def _leading_out(tree: Path, links: list[str]) -> tuple[str, ...]:
    """Links that lead out of the repository, wherever that will stand."""
    root = os.path.realpath(tree)
    found: list[str] = []
    for path in links:
        try:
            target = str((tree / path).readlink())
        except OSError:
            continue  # gone since: the commit has it, and nothing here is followed
        inside = os.path.realpath(tree / path)
        if target.startswith("/") or not Path(inside).is_relative_to(root):
            found.append(path)
    return tuple(found)


def _folded(ignored: set[str], others: list[str]) -> list[str]:
    """Ignored paths, with a folder in place of its files where all of it is ignored."""
    kept: set[str] = set()
    for other in others:
        above = other.rpartition("/")[0]
        while above and above not in kept:
            kept.add(above)
            above = above.rpartition("/")[0]
    return sorted({_outermost(path, kept) for path in ignored})


def _outermost(path: str, kept: set[str]) -> str:
    at = path.find("/")
    while at > 0:
        if path[:at] not in kept:
            return path[: at + 1]
        at = path.find("/", at + 1)
    return path
