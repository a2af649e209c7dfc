"""A checkout of its own for every run that writes.

Owns making it, finding it again, and giving it up. Does not own what the agent does in it, taking its work in
(collect.py) or merging that (merge.py).
Invariant: the parent repository gets one private reference and nothing else; its working tree, index, branches and
configuration stay as they are. Nothing of the parent's or the user's configuration is run. Killed at any point, the
same call made again finishes it.

What `git clone --shared --no-checkout` makes, without the remote that an agent could push to and without running a
program in the parent: objects are shared, branches and tags are there (as of `origin`), files are the commit's own
bytes, since no filter and no line ending of a user's configuration changes them.

    folder/tree           where the agent works; its `.git` is never read again
    folder/checkout.json  written last, so a checkout is there whole or not at all

The order of calls:

    repo = find(Path("."), user_environ(settings.search_path, settings.user_home))
    made = prepare(repo, folder, run_id, clock, dirty="capture")    # the agent then works in made.cwd
    done = collect(repo, made, clock, "What it was for", scope=["src/**"])  # refs/armarius/runs/<id>
    merge(repo, run_id, clock)                                      # or into="branch"
    drop(repo, run_id, folder)                                      # or keep(...), which keeps the reference

Work that is not committed: with `base=None` the run begins at HEAD and a working tree with changes is refused, or
captured (`dirty="capture"`) as a commit of its own, which only the private reference holds. `untracked` files are
left behind, copied with it, or a reason to refuse; ignored files never come along. A named `base` asks for that
commit and leaves the working tree out of it.
"""

import json
import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from armarius.checkout.base import Dirty, LeftOut, Untracked, choose
from armarius.checkout.folder import remove
from armarius.checkout.git import EXACT, Git, Repository, bring, locked, share_objects, shown
from armarius.checkout.submodules import Submodule, fill
from armarius.clock import Clock
from armarius.errors import DataError, Refused
from armarius.files import private_folder, read_bounded, write_atomic

__all__ = ["Checkout", "base_ref", "drop", "keep", "load", "prepare", "run_ref"]

_RECORD = "checkout.json"
_MARK = "preparing"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_LONGEST_RECORD = 64 << 20
_CONFIG = b"""[gc]
\tauto = 0
[maintenance]
\tauto = false
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tlogAllRefUpdates = true
[user]
\tname = Armarius
\temail = armarius@localhost
"""


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A prepared checkout. `base` is the commit it began with, `head` the one that was asked for.

    They differ when uncommitted work was captured. `absent` are files of `base` that a sparse checkout leaves out.
    `left_out` are files of the parent that did not come along although they were asked for.
    """

    run_id: str
    folder: str
    cwd: str
    head: str
    base: str
    submodules: tuple[Submodule, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def tree(self) -> Path:
        """Where the files lie."""
        return Path(self.folder) / "tree"


def run_ref(run_id: str) -> str:
    """Where a run's work is kept in the parent repository."""
    return f"refs/armarius/runs/{_checked(run_id)}"


def base_ref(run_id: str) -> str:
    """What keeps a run's first commit from being cleaned away while its checkout lives."""
    return f"refs/armarius/bases/{_checked(run_id)}"


def prepare(
    repo: Repository,
    folder: Path,
    run_id: str,
    clock: Clock,
    *,
    base: str | None = None,
    dirty: Dirty = "refuse",
    untracked: Untracked = "ignore",
    submodules: Literal["skip", "refuse"] = "skip",
) -> Checkout:
    """Make the checkout, or give back the one that was made for this run before.

    A submodule that the parent has not got is skipped and named in the answer, or a reason to refuse.
    """
    pin = base_ref(run_id)
    folder = folder.absolute()
    if (folder / _RECORD).exists():
        made = load(folder)
        if made.run_id != run_id:
            raise Refused("checkout-folder", f"{folder} is the checkout of {made.run_id}", "name another folder")
        return made
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise Refused("checkout-folder", f"{folder} is not empty", "name a new folder")
    remove(folder)
    private_folder(folder)
    (folder / _MARK).touch(mode=0o600)
    chosen = choose(repo, folder, run_id, clock, base=base, dirty=dirty, untracked=untracked)
    if chosen.maker is not None:
        bring(repo, chosen.maker, chosen.commit)
    remove(folder / "base.git")
    pinned = repo.commit_of(pin)
    if pinned != chosen.commit:
        repo.move_ref(pin, chosen.commit, pinned)
    git = _tree(repo, folder / "tree", chosen.commit)
    modules = fill(repo, git, chosen.commit, folder / "tree")
    missing = [module for module in modules if module.state == "skipped"]
    if missing and submodules == "refuse":
        raise Refused(
            "checkout-submodule",
            f"submodule {missing[0].path}: {missing[0].reason}",
            "initialise it, or allow skipping",
        )
    made = Checkout(
        run_id=run_id,
        folder=str(folder),
        cwd=str(_cwd(repo, folder / "tree")),
        head=chosen.head,
        base=chosen.commit,
        submodules=modules,
        left_out=chosen.left_out,
        absent=_absent(git) if repo.is_sparse else (),
    )
    # The standard library's JSON, because it alone keeps names that are no UTF-8.
    write_atomic(folder / _RECORD, json.dumps(msgspec.to_builtins(made)).encode())
    (folder / _MARK).unlink()
    return made


def load(folder: Path) -> Checkout:
    """The checkout that was prepared in `folder`; DataError when there is none."""
    try:
        return msgspec.convert(json.loads(read_bounded(folder / _RECORD, _LONGEST_RECORD)), Checkout)
    except (ValueError, msgspec.ValidationError) as error:
        raise DataError(
            "checkout", f"{folder / _RECORD} is no record of a checkout: {error}", "prepare it again"
        ) from error


def keep(repo: Repository, run_id: str, folder: Path | None) -> str | None:
    """Give up the checkout and keep its work: the commit at the private reference, or None when it has none."""
    ref, pin = run_ref(run_id), base_ref(run_id)
    with locked(repo):
        _remove_checkout(run_id, folder)
        if (old := repo.commit_of(pin)) is not None:
            repo.move_ref(pin, None, old)
        return repo.commit_of(ref)


def drop(repo: Repository, run_id: str, folder: Path | None) -> None:
    """Give up the checkout and its work. What was merged stays merged."""
    ref = run_ref(run_id)
    keep(repo, run_id, folder)
    with locked(repo):
        if (old := repo.commit_of(ref)) is not None:
            repo.move_ref(ref, None, old)


def _remove_checkout(run_id: str, folder: Path | None) -> None:
    """Remove the folder, but only one that `prepare` made for this run."""
    if folder is None:
        return
    if (folder / _RECORD).exists():
        if load(folder).run_id != run_id:
            raise Refused("checkout-folder", f"{folder} is not the checkout of {run_id}", "name the run's own folder")
    elif folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise Refused("checkout-folder", f"{folder} is no checkout", "name the run's own folder")
    remove(folder)


def _checked(run_id: str) -> str:
    if not _ID.fullmatch(run_id):
        raise DataError("run-id", f"{run_id!r} is no run id", "letters, digits, `-` and `_`")
    return run_id


def _tree(repo: Repository, tree: Path, commit: str) -> Git:
    """A repository at `tree` with the files of the commit."""
    Git(tree.parent, repo.environ)("init", "--quiet", "--template=", f"--object-format={repo.object_format}", str(tree))
    own = tree / ".git"
    share_objects(own, repo)
    (own / "info" / "attributes").write_bytes(EXACT)
    sparse = b"[core]\n\tsparseCheckout = true\n" if repo.is_sparse else b""
    cone = b"\tsparseCheckoutCone = true\n" if repo.config.get("core.sparsecheckoutcone") == "true" else b""
    with (own / "config").open("ab") as file:
        file.write(_CONFIG + sparse + (cone if sparse else b""))
    (own / "packed-refs").write_bytes(_references(repo))
    git = Git(tree, repo.environ | {"GIT_DIR": str(own), "GIT_WORK_TREE": str(tree)})
    git("checkout", "--quiet", "--detach", "--no-recurse-submodules", commit)
    return git


def _references(repo: Repository) -> bytes:
    """The parent's branches and tags as `packed-refs`, so that `git describe` and `origin/main` mean something."""
    listed = repo.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
    pairs = [line.split(b" ", 1) for line in listed.splitlines()]
    named = sorted((name.replace(b"refs/heads/", b"refs/remotes/origin/", 1), commit) for commit, name in pairs)
    return b"# pack-refs with: sorted \n" + b"".join(commit + b" " + name + b"\n" for name, commit in named)


def _absent(git: Git) -> tuple[str, ...]:
    entries = git("ls-files", "-z", "-t").split(b"\0")
    return tuple(os.fsdecode(entry[2:]) for entry in entries if entry.startswith(b"S "))


def _cwd(repo: Repository, tree: Path) -> Path:
    """Where the caller stood, in the checkout; a folder that the commit has not got is made."""
    place = tree / repo.prefix
    if not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(tree)):
        raise Refused(
            "checkout-link", f"{shown(repo.prefix)} leads out of the repository in this commit", "start at its top"
        )
    place.mkdir(parents=True, exist_ok=True)
    return place
