"""What a working copy holds: its commit, and one hash over everything that differs from it.

Owns that value and looking. Does not own what is kept for it.
Invariant: two working copies with equal states have the same files, as far as git does not ignore them; nothing of
the repository or of anybody's configuration is run or written.
"""

import os
import stat
import tempfile
from pathlib import Path

import msgspec

from armarius.checkout.git import Repository, find, own_store, user_environ
from armarius.errors import DataError
from armarius.files import private_folder
from armarius.identity import hash_file, hash_value
from armarius.settings import Settings

__all__ = ["State", "repository_of", "state_of"]

_MOST = 20_000


class State(msgspec.Struct, frozen=True):
    """A working copy: `head` is its commit, `tree` a hash over that and what differs (None: nothing does)."""

    head: str
    tree: str


def repository_of(settings: Settings, folder: Path) -> Repository:
    """The repository that a folder lies in; DataError when there is none or it has no working tree."""
    found = find(folder, user_environ(settings.search_path, settings.user_home))
    if found.top is None:
        raise DataError("repository", f"{folder} has no working tree", "name a folder of one")
    return found


def state_of(settings: Settings, repo: Repository) -> State:
    """The state now; DataError when there is no commit, or more has changed than can be looked at."""
    head = repo.commit_of("HEAD")
    if head is None or repo.top is None:
        raise DataError("no-commit", f"{repo.top or repo.own} has no commit yet", "commit something first")
    with tempfile.TemporaryDirectory(dir=private_folder(settings.home / "tmp")) as place:
        git = own_store(Path(place) / "state.git", repo, head=head, index=True)
        said = git(
            "status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none"
        )
    lines = said.decode(errors="surrogateescape").split("\0")
    if len(lines) > _MOST:
        raise DataError("state-large", f"{len(lines):,} files differ from {head}", "commit, or ignore what is made")
    differs = sorted((line[:1], *_seen(repo.top, line)) for line in lines if line)
    return State(head, hash_value([head, [[_plain(word) for word in one] for one in differs]]))


def _seen(top: Path, line: str) -> tuple[str, str, str]:
    """A path that git says differs: what git says of it, its name, and what is there."""
    fields = {"1": 8, "u": 10, "?": 1, "!": 1}.get(line[:1], 8)
    *said, path = line.split(" ", fields)
    place = top / path
    try:
        mode = place.lstat().st_mode
        if stat.S_ISLNK(mode):
            content = f"link {os.readlink(place)}"  # noqa: PTH115  # bytes that are no text stay what they are
        elif stat.S_ISREG(mode):
            content = f"{mode & 0o111:o} {hash_file(place)}"
        else:
            content = f"{stat.S_IFMT(mode):o}"
    except OSError as error:
        content = f"errno {error.errno}"
    return " ".join(said[1:]), path, content


def _plain(text: str) -> str:
    return os.fsencode(text).decode(errors="backslashreplace")
