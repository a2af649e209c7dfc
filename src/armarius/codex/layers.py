"""What every configuration that Codex reads says about who is billed.

Owns which files Codex takes in for a home, a profile and a directory, in Codex's own order, and which
of their settings touch money. Does not own what is allowed (billing.py).
Invariant: a project's file is read whether Codex trusts the project or not, because trust comes with
one key press and not with a new look at the file. A file that cannot be read is an error that names
it, never an empty one.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from armarius.codex.config_file import parse_config
from armarius.errors import DataError
from armarius.files import read_bounded

__all__ = ["MONEY", "SYSTEM", "Layer", "read_layers"]

SYSTEM = Path("/etc/codex")
"""Where an administrator's files lie."""

MONEY = frozenset(
    {
        *("model_provider", "model_providers", "openai_base_url", "chatgpt_base_url", "oss_provider"),
        *("forced_login_method", "preferred_auth_method", "allowed_login_methods", "cli_auth_credentials_store"),
        *("profile", "profiles"),
        # Where it is another workspace than the login's, Codex logs out and deletes the login.
        "forced_chatgpt_workspace_id",
        *("experimental_realtime_ws_base_url", "experimental_realtime_webrtc_call_base_url"),
        *("experimental_thread_store", "experimental_thread_store_endpoint"),
    }
)
"""The settings that say which provider is asked, with which login, from where a key comes, and who else hears of it."""

_LARGEST = 1 << 20
_LARGEST_OF_PROJECT = 16 << 10  # tomllib takes seconds for a long dotted key, and a project may be hostile
_PROFILE = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = "HEAD"

Origin = Literal["system", "user", "profile", "project", "override", "managed", "requirements"]


class Layer(msgspec.Struct, frozen=True):
    """One source of configuration. `where` is its file, or the `-c` as it was given.

    `said` are its settings about money, as they stand there; `providers` the tables of them that define one.
    """

    origin: Origin
    where: str
    said: dict[str, Any] = {}
    providers: dict[str, dict[str, Any]] = {}


class _Tables(msgspec.Struct):
    model_providers: dict[str, dict[str, Any]] = {}


class _Markers(msgspec.Struct):
    project_root_markers: list[str] | None = None


def read_layers(
    codex_home: Path,
    *,
    cwd: Path | None = None,
    profile: str | None = None,
    overrides: Iterable[str] = (),
    system: Path = SYSTEM,
) -> tuple[Layer, ...]:
    """Every layer that is there, weakest first; DataError for one that cannot be read.

    `cwd` is where Codex will work (None: in no project), `overrides` are the values of its `-c` flags.
    """
    tables: list[tuple[Origin, Path, dict[str, Any]]] = []

    def take(origin: Origin, path: Path, limit: int = _LARGEST) -> None:
        if path.exists() or path.is_symlink():
            tables.append((origin, path, parse_config(read_bounded(path, limit), str(path))))

    take("system", system / "config.toml")
    take("user", codex_home / "config.toml")
    if profile is not None:
        take("profile", _profile_file(codex_home, profile))
    if cwd is not None:
        markers = _markers(table for _, _, table in tables)
        for folder in _project_folders(cwd, markers):
            if (folder / ".codex").resolve() != codex_home.resolve():
                take("project", folder / ".codex" / "config.toml", _LARGEST_OF_PROJECT)
    given = tuple(_override(text) for text in overrides)
    strongest = len(tables)
    take("managed", system / "managed_config.toml")
    take("requirements", system / "requirements.toml")
    layers = [_layer(origin, path, table) for origin, path, table in tables]
    return (*layers[:strongest], *given, *layers[strongest:])


def _layer(origin: Origin, path: Path, table: dict[str, Any]) -> Layer:
    try:
        providers = msgspec.convert(table, _Tables).model_providers
    except msgspec.ValidationError as error:
        raise DataError("codex-config", f"{path}: {error}", "correct it; Armarius reads TOML 1.0") from error
    return Layer(origin, str(path), {key: value for key, value in table.items() if key in MONEY}, providers)


def _override(text: str) -> Layer:
    """A `-c key=value`. Its key may be dotted; what lies below a setting about money is about money."""
    key, _, value = text.partition("=")
    first = key.split(".")[0].strip().strip("\"'").strip()
    return Layer("override", f"-c {key.strip()}", {first: value.strip()} if first in MONEY else {})


def _profile_file(codex_home: Path, profile: str) -> Path:
    if not _PROFILE.fullmatch(profile):
        raise DataError("profile-name", f"{profile!r} is no name of a profile", "use letters, digits, - and _")
    path = codex_home / f"{profile}.config.toml"
    if not path.exists():
        # Codex would say nothing and run without it.
        raise DataError("profile-missing", f"there is no profile {profile!r}: {path} does not exist", "write it")
    return path


def _project_folders(cwd: Path, markers: tuple[str, ...]) -> list[Path]:
    """The folders from the project's root down to `cwd`, by its name and by where links lead."""
    found = dict[Path, None]()
    for start in (cwd.absolute(), cwd.resolve()):
        chain = (start, *start.parents)
        root = next((place for place, folder in enumerate(chain) if _is_root(folder, markers)), 0)
        found |= dict.fromkeys(reversed(chain[: root + 1]))
    return list(found)


def _is_root(folder: Path, markers: tuple[str, ...]) -> bool:
    """Whether Codex takes `folder` for the root of a project; of a `.git` folder it wants to see a HEAD."""
    for marker in markers:
        place = folder / marker
        if marker == ".git" and place.is_dir():
            if (place / _HEAD).exists():
                return True
        elif place.exists():
            return True
    return False


def _markers(tables: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """What marks the root of a project: the last to say so counts."""
    markers = (".git",)
    for said in _each_marker(tables):
        markers = tuple(said)
    return markers


def _each_marker(tables: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    for table in tables:
        try:
            said = msgspec.convert(table, _Markers).project_root_markers
        except msgspec.ValidationError as error:
            raise DataError("codex-config", f"project_root_markers: {error}", "make it a list of names") from error
        if said is not None:
            yield said
