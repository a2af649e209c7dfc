"""Working trees as resources: who may write where.

Owns what a folder's tree is called in the ledger, and the claims of a writer. Does not own who waits for
whom (leases.py) nor the patterns (checkout/scopes.py).
Invariant: two claims of a tree meet when one writer could change a file of the other, also where one
repository lies inside of another; two trees of one name are never taken for one, and a tree that two
hosts share is one for both.

A repository is known by a random name that is kept inside of it and, with it, by the inode of its working
tree: a copy has another one, and hosts that share a file system see the same. What lies in no repository
is known by its host and path.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from armarius.codex.guard import identity_of
from armarius.errors import DataError
from armarius.files import private_folder, read_bounded, write_atomic
from armarius.resources.leases import Paths
from armarius.sessions.repositories import Spot, spot_of
from armarius.settings import is_repository

__all__ = ["claims_of_scope", "claims_of_trees"]

_WHOLE = "**"
_NAME = re.compile(rb"[0-9a-f]{32}")
_LONGEST = 64
_SHOWN = 40
_SPECIAL = re.compile(r"[*?\[]")


def claims_of_trees(folders: Iterable[Path]) -> tuple[Paths, ...]:
    """What a writer in these folders holds alone: the whole tree of each."""
    found = dict[str, set[str]]()
    for folder in folders:
        resource, pattern = _tree(Path(os.path.realpath(folder)))
        found.setdefault(resource, set()).add(pattern)
    return tuple(Paths(resource, tuple(sorted(patterns))) for resource, patterns in sorted(found.items()))


def claims_of_scope(folder: Path, patterns: tuple[str, ...]) -> tuple[Paths, ...]:
    """What a run holds that declares which paths of a repository it may change, in whatever tree of it."""
    if not patterns:
        return ()
    spot = spot_of(folder)
    if spot.store is None:
        raise DataError("scope", f"{folder} lies in no repository, from whose top a scope is written", "run `git init`")
    return (Paths(f"scope@{_called(spot)}-{_digest(_name_of(spot.store))}", patterns),)


def _tree(folder: Path) -> tuple[str, str]:
    """The outermost repository around a folder, and what of it is the tree of the innermost one."""
    tops = [place for place in (folder, *folder.parents) if is_repository(place)]
    spot = spot_of(tops[-1]) if tops else None
    if spot is None or spot.store is None or not (spot.store / "HEAD").is_file():
        host = (identity_of(os.getpid()) or {"host": ""})["host"]
        return f"repo@{host}", _literal(str(tops[0] if tops else folder).strip("/"))
    inode = spot.folder.stat().st_ino
    resource = f"repo@{_shown(spot.folder.name)}-{_digest(f'{_name_of(spot.store)} {inode}')}"
    inside = str(tops[0].relative_to(tops[-1]))
    return resource, _WHOLE if inside == "." else _literal(inside)


def _name_of(store: Path) -> str:
    """The random name of a repository, given when it is first asked for."""
    path = store / "armarius" / "name"
    if not path.exists():
        private_folder(path.parent)
        made = path.with_name(f"name.{secrets.token_hex(8)}")
        write_atomic(made, secrets.token_hex(16).encode())
        try:
            os.link(made, path)  # whoever is first names it, and nobody sees half of the name
        except FileExistsError:
            pass
        finally:
            made.unlink()
    name = read_bounded(path, _LONGEST)
    if not _NAME.fullmatch(name):
        raise DataError("repository-name", f"{path} is not what Armarius wrote there", "remove the file")
    return name.decode()


def _called(spot: Spot) -> str:
    assert spot.store is not None  # the caller has looked
    return _shown(spot.store.parent.name if spot.store.name == ".git" else spot.store.name)


def _shown(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_SHOWN] or "_"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _literal(path: str) -> str:
    """A path as a pattern that means itself and all below it. What is no UTF-8 stands as its bytes' names."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return _SPECIAL.sub(lambda found: f"[{found[0]}]", text) or _WHOLE
