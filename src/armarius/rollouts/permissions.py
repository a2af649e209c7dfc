"""What a turn was allowed to do, read back from what Codex recorded.

Owns the three shapes in which Codex writes permissions (a sandbox policy, a permission profile, a
file system policy; often several at once) and their common reading. Does not own what was asked for.
Invariant: never narrower than the truth. Of several records the widest counts, and what is not
understood counts as full access; nothing recorded is None, not a guess.
"""

from collections.abc import Iterable
from functools import lru_cache
from posixpath import normpath
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from armarius.thread import Sandbox

__all__ = ["Permissions", "TurnContext"]

_Measure = TypeVar("_Measure", Sandbox, bool)

_NARROW_ACCESS = frozenset({"read", "none", "deny"})
_WORK_FOLDERS = frozenset({"current_working_directory", "project_roots", "tmpdir", "slash_tmp"})
_NO_NETWORK = frozenset({False, "restricted"})


class Permissions(Struct, frozen=True):
    """`writable_roots` are paths besides the working and temporary folders."""

    sandbox: Sandbox | None = None
    network: bool | None = None
    writable_roots: frozenset[str] = frozenset()

    def __or__(self, other: "Permissions") -> "Permissions":
        """What is allowed if either may be true."""
        return Permissions(
            _widest(self.sandbox, other.sandbox),
            _widest(self.network, other.network),
            self.writable_roots | other.writable_roots,
        )


class TurnContext(Struct):
    """What a turn runs with; written for each turn, and in the same words when settings change."""

    turn_id: str | None = None
    cwd: str | None = None
    model: str | None = None
    effort: str | None = None
    reasoning_effort: str | None = None
    approval_policy: str | dict[str, Raw] | None = None
    sandbox_policy: Raw = Raw()
    permission_profile: Raw = Raw()
    file_system_sandbox_policy: Raw = Raw()

    @property
    def approval(self) -> str | None:
        """`never`, `on-request`, …; of a policy with parts its name, `granular`."""
        policy = self.approval_policy
        return next(iter(policy), None) if isinstance(policy, dict) else policy

    @property
    def permissions(self) -> Permissions:
        found = Permissions()
        for raw in (self.sandbox_policy, self.permission_profile, self.file_system_sandbox_policy):
            if (policy := bytes(raw)) not in {b"", b"null"}:
                found |= _read(policy, self.cwd)
        return found


class _Special(Struct):
    kind: str


class _Path(Struct):
    type: str
    path: str = ""
    value: _Special | None = None

    @property
    def is_work_folder(self) -> bool:
        return self.type == "path" or (self.value is not None and self.value.kind in _WORK_FOLDERS)


class _Entry(Struct):
    path: _Path
    access: str


class _FileSystem(Struct):
    """`{"type": …}` inside a profile, `{"kind": …}` on its own."""

    type: str = ""
    kind: str = ""
    entries: list[_Entry] = []


class _Policy(_FileSystem):
    """Any of the three shapes; `mode` is what `type` was called until 0.58."""

    mode: str = ""
    writable_roots: list[str] = []
    network_access: bool | str = False
    network: str = "restricted"
    file_system: _FileSystem | None = None


_POLICY = msgspec.json.Decoder(_Policy)


@lru_cache(maxsize=64)  # the same few kilobytes stand in every turn
def _read(raw: bytes, cwd: str | None) -> Permissions:
    try:
        policy = _POLICY.decode(raw)
    except (ValueError, RecursionError):
        return Permissions(Sandbox.DANGER_FULL_ACCESS, network=True)
    if policy.kind:
        return _of_file_system(policy, cwd, network=None)
    network = not {policy.network_access, policy.network} <= _NO_NETWORK
    match policy.type or policy.mode:
        case "read-only":
            return Permissions(Sandbox.READ_ONLY, network)
        case "workspace-write":
            return _writing(policy.writable_roots, cwd, network=network)
        case "managed" if policy.file_system:
            return _of_file_system(policy.file_system, cwd, network=network)
        case _:
            return Permissions(Sandbox.DANGER_FULL_ACCESS, network=True)


def _of_file_system(files: _FileSystem, cwd: str | None, *, network: bool | None) -> Permissions:
    written = [entry.path for entry in files.entries if entry.access not in _NARROW_ACCESS]
    if (files.type or files.kind) != "restricted" or not all(path.is_work_folder for path in written):
        return Permissions(Sandbox.DANGER_FULL_ACCESS, network)
    if not written:
        return Permissions(Sandbox.READ_ONLY, network)
    return _writing([path.path for path in written if path.type == "path"], cwd, network=network)


def _writing(roots: Iterable[str], cwd: str | None, *, network: bool | None) -> Permissions:
    everything = any(normpath(root) in {"/", "//"} for root in (*roots, cwd) if root)
    sandbox = Sandbox.DANGER_FULL_ACCESS if everything else Sandbox.WORKSPACE_WRITE
    return Permissions(sandbox, network, frozenset(roots) - {cwd})


def _widest(one: _Measure | None, other: _Measure | None) -> _Measure | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
