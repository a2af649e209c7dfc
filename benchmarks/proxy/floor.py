"""A recorder that reads nothing: the least that recording can cost.

Owns a record that is always the same. Does not own the server, the journal or the holding back of the last event, which
are the product's own.
Invariant: a line as long as the usual one is on the disk before the last event leaves, as always; nothing of a request
is looked at, and of an answer only where its last event begins.

`python floor.py proxy serve …` is `armarius proxy serve …` with it.
"""

import sys
from typing import Any, Final

from armarius.__main__ import main
from armarius.recorder import flow
from armarius.recorder.exchange import Exchange
from armarius.recorder.identity import Identity

_LINE: Final = (b'{"nothing":"%b"}\n' % (b"x" * 3_850),)
_RECORD: Final = Exchange("exch_0", 0, Identity(), "/responses", 200, "completed")


class _Constant:
    """Stands where a record is made."""

    aside = None
    is_stream = True

    def __init__(self, *_: Any) -> None:
        pass

    def with_skills(self, *_: Any) -> None:
        pass

    def seal(self, *_: Any) -> None:
        pass

    def begin(self, *_: Any) -> None:
        pass

    def feed(self, data: bytes) -> int | None:
        at = data.rfind(b"\n\n", 0, -2) + 2
        return at if data.startswith(b"event: response.completed\n", at) else None

    def closed(self, _: object) -> Any:
        return _RECORD, _LINE, None


if __name__ == "__main__":
    flow.Recording = _Constant  # type: ignore[misc, assignment]  # pyright: ignore[reportAttributeAccessIssue]
    sys.exit(main())
