"""How a run is to be done, as a caller says it, and whether that is what it is said to be.

Owns the value and the check of its types. Does not own what a value may be (`desk.py`) nor the request.
Invariant: whatever a program hands over, a wish that leaves here has the types that it declares, and every text of it
can be written down: a request that cannot be read back would bar the ledger to everybody.
"""

from pathlib import Path
from typing import Any

import msgspec

from armarius.budget import NO_BUDGET, Budget
from armarius.codex.command import Approval, ConfigValue
from armarius.errors import DataError, UsageError
from armarius.sharing.wish import Sharing

__all__ = ["Options", "checked_options", "checked_text"]

_BEFORE = 40
_WAY_OUT = "see `Options` in docs/python-api.md"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is to be done; None is Armarius's default, or what the earlier run had.

    `config` holds harmless keys of Codex's configuration (`armarius.codex.overrides`). `timeout` is in
    seconds. With `approval` "on-request" a person is asked for what the sandbox forbids. `lane` is a login of
    `armarius lanes`; a run that names one stays there. `skip_git_check` lets a run write where no repository
    could undo it. `budget` makes the standing one of each run smaller. `require` are commands, split into words as a
    shell would and run without one, that have to succeed afterwards.
    """

    cwd: Path | None = None
    sandbox: str | None = None
    model: str | None = None
    effort: str | None = None
    service_tier: str | None = None
    profile: str | None = None
    images: tuple[Path, ...] = ()
    add_dirs: tuple[Path, ...] = ()
    config: dict[str, ConfigValue] = {}
    lane: str | None = None
    schema: dict[str, Any] | None = None
    timeout: float | None = None
    ephemeral: bool = False
    skip_git_check: bool = False
    sharing: Sharing = Sharing()
    require: tuple[str, ...] = ()
    budget: Budget = NO_BUDGET
    approval: Approval = "never"


def checked_options(options: object) -> Options:
    """The options, with the types that they declare; a path may be given as text.

    UsageError for anything else, DataError for what is no UTF-8.
    """
    if not isinstance(options, Options):
        what = f"expected Options and got {type(options).__name__}"
        raise UsageError("options-type", what, "write Options(effort=…)")
    try:
        found = msgspec.convert(_fields(options), Options, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise UsageError("options-type", f"Options: {error}", _WAY_OUT) from error
    _check_written(found, "Options")
    return found


def checked_text(text: object, what: str) -> str:
    """A text that can be written down; UsageError for anything else, DataError for what is no UTF-8."""
    if not isinstance(text, str):
        raise UsageError("text-type", f"{what} is a {type(text).__name__} and no text", "give a str")
    _check_written(text, what)
    return text


def _check_written(value: object, what: str) -> None:
    try:
        msgspec.json.encode(value, enc_hook=_spelt)
    except UnicodeEncodeError as error:
        shown = error.object[max(0, error.start - _BEFORE) : error.end]
        raise DataError("not-utf8", f"{shown!a} is not UTF-8", "use a UTF-8 name") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError("options-type", f"{what}: {error}", _WAY_OUT) from error


def _spelt(value: object) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    raise TypeError(f"a {type(value).__name__} cannot be written down")


def _fields(value: object) -> object:
    """A struct as what it holds, so that it is looked at like what comes from outside."""
    if isinstance(value, msgspec.Struct):
        return {name: _fields(getattr(value, name)) for name in value.__struct_fields__}
    return value


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, Path):
        return value
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected a {kind.__name__}, got {type(value).__name__}")
