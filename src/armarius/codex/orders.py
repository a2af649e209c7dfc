"""What an agent asks of a person in the middle of a turn, and what a person says to it.

Owns the files in an attempt's folder through which both travel, and who may answer what. Does not own the
conversation with Codex (`driver_program.py`) nor the ledger.
Invariant: a question is answered once, by its own name, and by nobody who does not say so; what was asked and
what was said stays as evidence. Both survive a restart of either side, and the folder is one that no sandboxed
agent can write to.

    FOLDER/questions/1.1.json       asked: attempt 1, first question
    FOLDER/questions/1.1.gone       Codex does not wait for it any more
    FOLDER/orders/answer-1.1.json   the answer, made with link(2): the second one to answer fails
    FOLDER/orders/steer-ID.json     words for the turn that runs
    FOLDER/orders/NAME.done         what became of an order
    FOLDER/wake                     a FIFO: a byte in it says that there is an order
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from armarius.errors import Failed
from armarius.files import private_folder, read_bounded, write_atomic

__all__ = ["Ask", "Change", "Decision", "Done", "Kind", "Order", "Orders", "Question"]

Kind = Literal["command", "file_change", "input", "other"]
Decision = Literal["accept", "decline", "reply"]

_T = TypeVar("_T")
_LARGEST = 16 << 20
_WAKE = "wake"


class Change(msgspec.Struct, frozen=True):
    """A file that the agent wants to change: `diff` is what Codex shows of it."""

    path: str
    kind: str
    diff: str = ""


class Ask(msgspec.Struct, frozen=True):
    """One thing that the agent wants to know; `options` are what it offers."""

    id: str
    question: str
    options: tuple[str, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Something that waits for a person. `method` is Codex's own name of it.

    `grant_root` is a folder that an acceptance would open for the rest of the session, `host` one on the network.
    """

    id: str
    kind: Kind
    method: str
    thread_id: str
    turn_id: str
    asked_at_us: int
    reason: str | None = None
    command: str | None = None
    cwd: str | None = None
    host: str | None = None
    grant_root: str | None = None
    changes: tuple[Change, ...] = ()
    asks: tuple[Ask, ...] = ()


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says: an answer to the question `to`, or words for the turn. `by` is who said it."""

    name: str
    by: str
    at_us: int
    to: str | None = None
    decision: Decision | None = None
    reason: str = ""
    replies: tuple[str, ...] = ()
    text: str = ""


class Done(msgspec.Struct, frozen=True):
    """What became of an order; `message` is why it was not carried out."""

    carried_out: bool
    message: str = ""


class Orders:
    """The questions and orders of one attempt, by its folder; any process may hold them."""

    def __init__(self, folder: Path) -> None:
        self._questions = folder / "questions"
        self._orders = folder / "orders"
        self._wake = folder / _WAKE

    @property
    def exist(self) -> bool:
        """Whether this attempt can ask at all."""
        return self._questions.is_dir()

    def questions(self) -> list[Question]:
        """Everything that was asked, in that order."""
        found = [_read(path, Question) for path in self._questions.glob("*.json")]
        return sorted(found, key=lambda question: (question.asked_at_us, len(question.id), question.id))

    def open_questions(self) -> list[Question]:
        """What nobody has answered and Codex still waits for."""
        return [question for question in self.questions() if self._waits(question.id)]

    def orders(self) -> list[Order]:
        """Everything that was said, oldest first."""
        found = [_read(path, Order) for path in self._orders.glob("*.json")]
        return sorted(found, key=lambda order: (order.at_us, order.name))

    def done(self, order: Order) -> Done | None:
        """What became of an order, as far as the driver has come to it."""
        try:
            return msgspec.json.decode((self._orders / f"{order.name}.done").read_bytes(), type=Done)
        except FileNotFoundError:
            return None

    # -------------------------------------------------------------- a person

    def give(self, order: Order) -> None:
        """Put an order where the driver finds it; Failed when its question was answered before."""
        path = self._orders / f"{order.name}.json"
        temporary = self._orders / f".{order.name}.{secrets.token_hex(6)}"
        write_atomic(temporary, msgspec.json.encode(order))
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise Failed("already-answered", f"{order.to} was answered before", "see `armarius runs show`") from None
        finally:
            temporary.unlink()
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # nobody there, or full: the driver looks from time to time
            bell = os.open(self._wake, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                os.write(bell, b"!")
            finally:
                os.close(bell)

    # ------------------------------------------------------------ the driver

    def make(self) -> int:
        """Make the places, for the time of an attempt; the FIFO's descriptor."""
        private_folder(self._questions)
        private_folder(self._orders)
        os.mkfifo(self._wake, 0o600)
        return os.open(self._wake, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)

    def ask(self, question: Question) -> None:
        write_atomic(self._questions / f"{question.id}.json", msgspec.json.encode(question))

    def forget(self, question_id: str) -> None:
        """Codex waits for this one no more."""
        (self._questions / f"{question_id}.gone").touch(mode=0o600)

    def new(self, known: set[str]) -> list[Order]:
        """Orders whose names are not known yet, oldest first."""
        names = {path.stem for path in self._orders.glob("*.json")} - known
        return [order for order in self.orders() if order.name in names] if names else []

    def report(self, order: Order, done: Done) -> None:
        write_atomic(self._orders / f"{order.name}.done", msgspec.json.encode(done))

    def _waits(self, question_id: str) -> bool:
        answered = self._orders / f"answer-{question_id}.json"
        return not (answered.exists() or (self._questions / f"{question_id}.gone").exists())


def _read(path: Path, kind: type[_T]) -> _T:
    return msgspec.json.decode(read_bounded(path, _LARGEST), type=kind)
