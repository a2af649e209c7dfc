"""The two sides of an exchange, as it sees them.

Owns what a client and a provider have to be able to do. Does not own doing it (server.py).
Invariant: a side is told what to do, and is never waited for.
"""

from typing import Protocol

from armarius.recorder.readers import ResponseReader

__all__ = ["Client", "Provider"]


class Client(Protocol):
    """The side that asked."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """End the connection, after what was written."""
        ...

    def finished(self, *, keep: bool) -> None:
        """The answer is over."""
        ...


class Provider(Protocol):
    """The side that answers; `heard` is when it last said something."""

    reader: ResponseReader
    heard: float

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def give_back(self, *, keep: bool) -> None:
        """The exchange is over; close at once unless `keep`."""
        ...
