"""Which hooks Codex may run: the hashes in its `config.toml`.

Owns asking Codex for the hash of a hook, having Codex write it down, and taking exactly that out of the
text again. Does not own `hooks.json`.
Invariant: a hash is given to a hook only by its key, so nobody else's hook becomes trusted; what a
person wrote in `config.toml` keeps its text. Codex alone writes trust: it alone knows how.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from armarius.codex.app_server import Server
from armarius.codex.config_file import parse_config
from armarius.codex.hooks_file import Place
from armarius.codex.hooks_protocol import CONFIG_WRITE, HOOKS_LIST, ConfigEdit, ConfigWrite, HooksList, HooksOfFolder
from armarius.errors import DataError

__all__ = ["give_trust", "key_of", "list_hooks", "moved_trust", "trusted", "with_endings", "without_trust"]

_TABLE = re.compile(
    r"""^[ \t]*\[[ \t]*hooks[ \t]*\.[ \t]*state[ \t]*(?:\.[ \t]*("[^\n]*"|'[^\n]*')[ \t]*)?\][ \t]*(#.*)?$"""
)
_ANY_TABLE = re.compile(r"^[ \t]*\[")


def key_of(hooks_file: str, place: Place) -> str:
    """What Codex calls the hook at `place` of a file."""
    event = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", place.event).lower()
    return f"{hooks_file}:{event}:{place.group}:{place.hook}"


def list_hooks(server: Server, folder: Path) -> HooksOfFolder:
    """The hooks that hold in `folder`, and what Codex has against its files, as it sees them now."""
    return server.call(HOOKS_LIST, HooksList((str(folder),))).data[0]


def give_trust(server: Server, hashes: Mapping[str, str]) -> None:
    """Have Codex write that these hooks, as they are now, are trusted."""
    state = {key: {"trusted_hash": value} for key, value in hashes.items()}
    server.call(CONFIG_WRITE, ConfigWrite((ConfigEdit("hooks.state", state, "upsert"),)))


def trusted(config: str, where: str) -> dict[str, str]:
    """The hash that each key was trusted with."""
    state = _state(parse_config(config, where))
    return {key: entry["trusted_hash"] for key, entry in state.items() if "trusted_hash" in entry}


def without_trust(config: str, keys: "set[str] | frozenset[str]", before: str, where: str) -> str:
    """`config` without the tables of these keys.

    `before` is what it was when they were not there yet: when nothing but empty lines differs from it,
    it is `before` again, because Codex moves those.
    """
    wanted = parse_config(config, where)
    state = _state(wanted)
    for key in keys & state.keys():
        del state[key]
    result = _without_tables(config, keys)
    if not state and not _has_state(parse_config(before, where)):
        result = _without_tables(result, {""})
        wanted.get("hooks", {}).pop("state", None)
        if "hooks" not in parse_config(before, where) and not wanted.get("hooks", {"": None}):
            del wanted["hooks"]
    if not _says(result, wanted):
        raise DataError(
            "codex-config",
            f"{where}: the trust of our hooks is written in a way that cannot be taken out exactly",
            f"take the entries for {', '.join(sorted(keys))[:400]} out of `hooks.state`; they trust nothing any more",
        )
    return before if _filled(result) == _filled(before) else result


def with_endings(config: str, before: str) -> str:
    """`config` with the ends of lines as they were `before` Codex wrote to it, which ends all alike.

    A line that is new ends as all did, if they did alike, and otherwise as it does.
    """
    if "\r\n" not in before:
        return config
    old, new = before.split("\n"), config.split("\n")
    if all(line.endswith("\r") for line in old[:-1]):
        return "\n".join([*(line.removesuffix("\r") + "\r" for line in new[:-1]), new[-1]])
    plain = [line.removesuffix("\r") for line in old], [line.removesuffix("\r") for line in new]
    for there, here, count in difflib.SequenceMatcher(None, *plain, autojunk=False).get_matching_blocks():
        new[here : here + count] = old[there : there + count]
    return "\n".join(new)


def moved_trust(config: str, keys: Mapping[str, str]) -> str:
    """`config` with keys renamed, for hooks of a person whose place changed."""
    lines = config.splitlines(keepends=True)
    for number, line in enumerate(lines):
        key = _key(line)
        if key and key in keys:
            found = _TABLE.match(line.rstrip("\r\n"))
            assert found is not None
            lines[number] = line[: found.start(1)] + _quoted(keys[key]) + line[found.end(1) :]
    return "".join(lines)


def _without_tables(config: str, keys: "set[str] | frozenset[str]") -> str:
    """The text without the tables of `keys` (`""`: the empty table of all), and the empty lines above each.

    Comments and empty lines at the end of such a table belong to what follows, and stay.
    """
    kept, tail = list[str](), list[str]()
    skipping = False
    for line in config.splitlines(keepends=True):
        key = _key(line)
        begins = key is not None or _ANY_TABLE.match(line) is not None
        if begins:
            goes_on = skipping and key in keys
            kept += [] if goes_on and not _has_words(tail) else tail
            tail.clear()
            skipping = key in keys
            while skipping and kept and not kept[-1].strip():
                kept.pop()
        if not skipping:
            kept.append(line)
        elif not begins and line.strip() and not line.lstrip().startswith("#"):
            tail.clear()
        elif not begins:
            tail.append(line)
    return "".join(kept + (tail if _has_words(tail) else []))


def _has_words(lines: list[str]) -> bool:
    return any(line.strip() for line in lines)


def _key(line: str) -> str | None:
    """The key whose table begins with this line; `""` for the table of all keys."""
    found = _TABLE.match(line.rstrip("\r\n"))
    if found is None:
        return None
    if found[1] is None:
        return ""
    try:
        return next(iter(tomllib.loads(f"{found[1]} = 1")))
    except tomllib.TOMLDecodeError:
        return None


def _quoted(key: str) -> str:
    escaped = re.sub(r'["\\\x00-\x1f\x7f]', lambda found: f"\\u{ord(found[0]):04x}", key)
    return f'"{escaped}"'


def _says(config: str, wanted: dict[str, Any]) -> bool:
    try:
        return parse_config(config, "") == wanted
    except DataError:
        return False


def _state(config: dict[str, Any]) -> dict[str, Any]:
    """The table of trust, to be changed in place; an empty one when there is none."""
    match config:
        case {"hooks": {"state": dict()}}:
            return config["hooks"]["state"]
        case _:
            return {}


def _has_state(config: dict[str, Any]) -> bool:
    return "state" in config.get("hooks", {})


def _filled(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]
