"""Which configuration a caller may add to a run: keys by name, and profiles.

Owns the list of harmless keys, and the reading of a profile before codex does. Does not own how they
are handed over (`command.py`).
Invariant: what is not on the list is refused, known or not, so that a key that a newer Codex knows
never opens a way to another provider, login, sandbox, approval, program or environment. A profile
that codex would ignore in silence is refused before the start.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, cast

from armarius.codex.billing import RECORDER, is_recorder_profile
from armarius.codex.command import ConfigValue
from armarius.codex.config_file import read_config
from armarius.codex.layers import MONEY
from armarius.errors import DataError, Refused, UsageError, nearest

__all__ = ["HARMLESS", "check_override", "check_profile", "parse_override"]

HARMLESS = (
    "model_reasoning_summary",
    "model_verbosity",
    "model_context_window",
    "model_auto_compact_token_limit",
    "tool_output_token_limit",
    "project_doc_max_bytes",
    "background_terminal_max_timeout",
    "plan_mode_reasoning_effort",
    "personality",
    "hide_agent_reasoning",
    "show_raw_agent_reasoning",
    "developer_instructions",
    "compact_prompt",
    "agents.max_threads",
    "agents.max_depth",
    "skills.bundled.enabled",
    "skills.include_instructions",
    "check_for_update_on_startup",
)
"""Keys that say how the model works and what it is told, and not what it may do or who pays."""

_FLAGS = {"model": "--model", "model_reasoning_effort": "--effort", "service_tier": "--service-tier"}
"""What has a flag of its own is said by that flag alone; a profile may say it too."""

_OF_A_PROFILE = (*HARMLESS, *_FLAGS)
_OWN_TOOLS = "mcp_servers"
"""The owner's own file may bring his own tools along; a caller's `--config` may not."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def parse_override(text: str) -> tuple[str, ConfigValue]:
    """`KEY=VALUE` as codex reads it: a dotted key, and TOML or else plain text."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError("config-form", f"--config {text!r} is not KEY=VALUE", "write e.g. model_verbosity=low")
    try:
        table: dict[str, Any] = tomllib.loads(f"v = {value}")
    except (ValueError, RecursionError):
        table = {}
    # What is more than one value is none: it is a text with a line in it that looks like a key.
    parsed: Any = table["v"] if table.keys() == {"v"} else value.strip()
    check_override(key, parsed)
    return key, parsed


def check_override(key: str, value: object) -> None:
    """Refuse a key that is not on the list of harmless ones, or a value that is no plain one."""
    if key in _FLAGS:
        raise UsageError("config-flag", f"--config {key}: this has a flag of its own", f"use {_FLAGS[key]}")
    if key not in HARMLESS:
        raise Refused("config-key", f"--config {key} could change what the run may do or who pays", _offer(key))
    if not isinstance(value, bool | int | str):
        raise UsageError("config-value", f"--config {key}: {value!r} is no plain value", "write a text or a number")


def check_profile(codex_home: Path, name: str) -> frozenset[str]:
    """The keys that a profile sets.

    It is refused when codex would ignore it or cannot use it, and when it says more than how the model works. The
    one that leads to our own recorder may, as far as it says what the recorder wrote.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("profile-name", f"{name!r} is no name of a profile", "letters, digits, - and _")
    path = codex_home / f"{name}.config.toml"
    config = codex_home / "config.toml"
    base = read_config(config)
    legacy = base.get("profiles")
    if base.get("profile") == name or (isinstance(legacy, dict) and name in cast("dict[str, Any]", legacy)):
        raise DataError(
            "profile-legacy",
            f"{config} still holds the profile {name!r} in the old form, which codex refuses",
            f"move [profiles.{name}] to {path} and remove it there",
        )
    if not path.exists():
        known = sorted(file.name.removesuffix(".config.toml") for file in codex_home.glob("*.config.toml"))
        raise DataError(
            "profile-missing",
            f"no profile {name!r}: {path} does not exist, and codex would run without it",
            nearest(name, known) if known else "make that file",
        )
    table = read_config(path)
    is_recorder = name == RECORDER and is_recorder_profile(table)
    keys = _keys({key: value for key, value in table.items() if not (is_recorder and key in MONEY)})
    for key in keys:
        if key not in _OF_A_PROFILE and key.partition(".")[0] != _OWN_TOOLS:
            raise Refused(
                "profile-key",
                f"{path}: `{key}` could change what the run may do or who pays",
                f"take it out; {_offer(key, _OF_A_PROFILE)}",
            )
    return frozenset(keys)


def _keys(table: dict[str, Any], above: str = "") -> list[str]:
    """Every leaf of a table, dotted; an empty table counts as one."""
    found = list[str]()
    for key, value in table.items():
        dotted = f"{above}{key}"
        inner = _keys(cast("dict[str, Any]", value), f"{dotted}.") if isinstance(value, dict) else []
        found += inner or [dotted]
    return found


def _offer(key: str, allowed: tuple[str, ...] = HARMLESS) -> str:
    return nearest(key, allowed).replace("known: ", "allowed: ")
