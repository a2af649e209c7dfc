"""The files in TOML that Codex reads: its configuration, the profiles beside it, those of projects.

Owns reading one as a table. Does not own which of them count (`layers.py`), nor what a key means.
Invariant: no larger file is parsed than was said, because a hostile one could take the parser seconds.
"""

import tomllib
from pathlib import Path
from typing import Any

from armarius.errors import DataError
from armarius.files import read_bounded

__all__ = ["parse_config", "read_config"]

_LARGEST = 1 << 20
_MARK = "\ufeff"


def read_config(path: Path, limit: int = _LARGEST) -> dict[str, Any]:
    """The file as a table, empty when there is none; DataError for no TOML 1.0, or more bytes than `limit`."""
    return parse_config(read_bounded(path, limit), str(path)) if path.exists() else {}


def parse_config(text: bytes | str, where: str) -> dict[str, Any]:
    """A text as a table; DataError when it is no TOML 1.0. A byte-order mark before it says nothing, as for Codex."""
    try:
        said = text.decode() if isinstance(text, bytes) else text
        return tomllib.loads(said.removeprefix(_MARK))
    except (ValueError, RecursionError) as error:
        raise DataError("codex-config", f"{where}: {error}", "correct it; Armarius reads TOML 1.0") from error
