"""What a client asks `codex app-server` about hooks, and how it has their trust written down, as values.

Owns these two methods. Does not own what is trusted (`trust.py`) nor the rest of the protocol (`protocol.py`).
Invariant: as in `protocol.py`, every field stands in the JSON Schema that Codex prints of itself.
"""

from typing import Any, Literal

from armarius.codex.protocol import Method, Wire

__all__ = ["CONFIG_WRITE", "HOOKS_LIST", "ConfigEdit", "ConfigWrite", "Hook", "HooksList", "HooksOfFolder"]


class HooksList(Wire, frozen=True):
    """The hooks that hold in some folders."""

    cwds: tuple[str, ...]


class Hook(Wire, frozen=True):
    """One hook as Codex sees it; `key` is its place, `current_hash` what trust is given to."""

    key: str
    event_name: str
    current_hash: str
    trust_status: str
    enabled: bool
    source_path: str
    handler_type: str
    command: str | None = None


class HookTrouble(Wire, frozen=True):
    path: str
    message: str


class HooksOfFolder(Wire, frozen=True):
    """`errors` are files that were not used, `warnings` parts of them."""

    cwd: str
    hooks: tuple[Hook, ...]
    warnings: tuple[str, ...]
    errors: tuple[HookTrouble, ...]


class HooksListed(Wire, frozen=True):
    data: tuple[HooksOfFolder, ...]


class ConfigEdit(Wire, frozen=True):
    """One value of `config.toml`."""

    key_path: str
    value: Any
    merge_strategy: Literal["replace", "upsert"]


class ConfigWrite(Wire, frozen=True):
    """Edits of the user's `config.toml`, all or none."""

    edits: tuple[ConfigEdit, ...]


class ConfigWritten(Wire, frozen=True):
    """`okOverridden`: it was written, and a stronger layer says otherwise."""

    status: str
    file_path: str


HOOKS_LIST = Method("hooks/list", HooksList, HooksListed)
CONFIG_WRITE = Method("config/batchWrite", ConfigWrite, ConfigWritten)
