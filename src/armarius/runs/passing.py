"""Why an attempt was ended before its time, beside it.

Owns the file. Does not own the decision (`meter.py`).
"""

from pathlib import Path

import msgspec

from armarius.budget import Passed
from armarius.files import write_atomic

__all__ = ["note_passed", "passed_of"]

_FILE = "passed.json"


def note_passed(folder: Path, passed: Passed) -> None:
    """Say which limit an attempt went over."""
    write_atomic(folder / _FILE, msgspec.json.encode(passed))


def passed_of(folder: Path) -> Passed | None:
    """The limit that the attempt in `folder` went over; None when it went over none that ended it."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Passed)
    except FileNotFoundError:
        return None
