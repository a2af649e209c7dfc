"""The counts of one file, and what changes them.

Owns the counts: turns, what was said and ran in them, calls, tokens. Does not own which of them a
record changes (`effects`, and `scan` for its short cuts), nor reading.
Invariant: a tally can be put away after any record and taken up again later, and goes on as if it
had never been away. Of turns that were put away, it holds sums alone: what names one of them brings
all of them back first.
"""

import msgspec

from armarius.counts import kept
from armarius.counts.entries import Closed, Line, OpenCall, Part, Past, Place, Spent, TurnCount
from armarius.rollouts.calls import outcome_of, session_asked
from armarius.rollouts.copies import Copy
from armarius.rollouts.fold import GOAL_TOOLS
from armarius.rollouts.legacy import ErrorEvent
from armarius.rollouts.limits import failure_kind, retry_at_us
from armarius.rollouts.parts import at_us
from armarius.rollouts.records import Problem, SessionMeta, goal_told
from armarius.rollouts.usage import TokenUsage
from armarius.thread import RATE_LIMITED, Command, Goal, ItemStatus, ToolCall, TurnState

__all__ = ["Tally"]

_TITLE = 200


class Tally(msgspec.Struct):
    """The counts of one file so far. `past` is what was put away of it, and `recalled` that it came back."""

    meta: SessionMeta
    is_named: bool = False
    turns: dict[str, TurnCount] = {}
    current: str | None = None
    model: str | None = None
    of_others: set[str] = set()
    spent: dict[str, Spent] = {}
    total: TokenUsage | None = None
    has_records: bool = False
    user_messages: int = 0
    agent_messages: int = 0
    title: str | None = None
    last_words: Line | None = None
    limits: Line | None = None
    calls: dict[str, OpenCall] = {}
    callers: dict[str, str] = {}
    sessions: dict[str, str] = {}
    unknown: dict[str, int] = {}
    bad_lines: int = 0
    goal: Goal | None = None
    copy: Copy | None = None
    context: Line | None = None
    first: str = ""
    last: str = ""
    closed: Closed = msgspec.field(default_factory=Closed)
    past: Past | None = None
    is_recalled: bool = False

    def lines(self) -> list[Line]:
        """The lines that may be asked about later, in the order in which they stand in the file."""
        kept_lines = [call.line for call in self.calls.values()]
        kept_lines += [line for line in (self.last_words, self.limits, self.context) if line is not None]
        return sorted(kept_lines, key=lambda line: line.byte)

    def saw(self, timestamp: str) -> None:
        """The thread was alive then."""
        self.first = self.first or timestamp
        self.last = timestamp or self.last

    def name(self, meta: SessionMeta) -> None:
        """Who the thread is: its first record of that kind counts, another is part of a copied history."""
        if not self.is_named:
            source = next(iter(meta.source), None) if isinstance(meta.source, dict) else meta.source
            self.meta, self.is_named = msgspec.structs.replace(meta, source=source), True

    def is_foreign(self, thread_id: str | None) -> bool:
        return thread_id is not None and thread_id != self.meta.id != ""

    # What was put away

    def _has_recalled(self, name: bytes) -> bool:
        """Whether something was put away that may be of that name, and is here again now."""
        if self.past is None or self.is_recalled or not self.past.holds(name):
            return False
        self._recall(self.past.parts())
        return True

    def _recall(self, parts: list[Part]) -> None:
        self.is_recalled, self.closed = True, Closed(responses=self.closed.responses)
        self.turns = {turn.id: turn for part in parts for turn in part.turns} | self.turns
        for piece in (piece for part in parts for piece in part.pieces):
            if turn := self.turns.get(piece.id):
                turn.said |= piece.said
                turn.codes = piece.codes | turn.codes
        for part in reversed(parts):
            self.calls = part.calls | self.calls
            self.callers = part.callers | self.callers
            self.sessions = part.sessions | self.sessions

    def turn(self, turn_id: str | None) -> TurnCount | None:
        """The turn of that id, if there is one."""
        if not turn_id:
            return None
        turn = self.turns.get(turn_id)
        if turn is None and self._has_recalled(turn_id.encode(errors="replace")):
            return self.turns.get(turn_id)
        return turn

    def last_turn(self) -> TurnCount | None:
        """The turn that began last."""
        if not self.turns and self.closed.turns and self.past:
            self._recall(self.past.parts())
        return next(reversed(self.turns.values()), None)

    def open_call(self, call_id: str) -> OpenCall | None:
        """The call of that id, if it has no last answer yet."""
        call = self.calls.get(call_id)
        if call is None and self.past is not None and self.was_called(call_id):
            return self.calls.get(call_id)
        return call

    def was_called(self, call_id: str) -> bool:
        """Whether a call of that id is known."""
        if call_id in self.callers:
            return True
        return self._has_recalled(call_id.encode(errors="replace")) and call_id in self.callers

    # Turns

    def running(self) -> TurnCount | None:
        """The turn that runs as far as the records go."""
        return self.turns.get(self.current or "")

    def begin(self, turn_id: str | None, place: Place) -> TurnCount:
        """A turn says that it starts."""
        turn = self.turn(turn_id) or self._new_turn(turn_id, place)
        turn.state, turn.error, self.current = TurnState.OPEN, None, turn.id
        return turn

    def end(self, turn_id: str | None, state: TurnState, problem: Problem | None, place: Place) -> None:
        """A turn says that it is over."""
        if turn_id in self.of_others:
            return
        turn = self.turn_of(turn_id, place)
        turn.ended = place.timestamp
        if problem:
            self.fail(turn, problem, place)
        turn.state = TurnState.FAILED if turn.error is not None else state
        if turn.id == self.current:
            self.current = None

    def fail(self, turn: TurnCount, problem: Problem | ErrorEvent, place: Place) -> None:
        """A turn failed, and why."""
        turn.state, turn.error = TurnState.FAILED, problem.message
        turn.error_kind = failure_kind(problem.codex_error_info, problem.message)
        if turn.error_kind in RATE_LIMITED:
            limits = kept.limits_in(self.limits.data if self.limits else b"")
            turn.retry_at_us = retry_at_us(limits, problem.message, at_us(place.timestamp))

    def complete(self, turn: TurnCount, timestamp: str) -> None:
        """The turn that runs came to its end."""
        turn.ended = timestamp
        turn.state = TurnState.COMPLETED if turn.error is None else TurnState.FAILED
        self.current = None

    def runs_with(self, turn: TurnCount, model: str | None, line: Line) -> None:
        """What a turn runs with; `line` says the rest of it."""
        turn.model = model or turn.model
        self.context = line

    def turn_of(self, turn_id: str | None, place: Place) -> TurnCount:
        """The turn of that id; else the one that runs; else the last or, under a new id, a new one."""
        turn = self.turn(turn_id) or self.running()
        if turn is None and turn_id is None:
            turn = self.last_turn()
        return turn or self._new_turn(turn_id, place)

    def _new_turn(self, turn_id: str | None, place: Place) -> TurnCount:
        turn = TurnCount(turn_id or f"turn-at-byte-{place.byte}", place.timestamp, self.model)
        self.turns[turn.id] = turn
        self.current = turn.id
        return turn

    def user_turn(self, place: Place) -> TurnCount:
        """Where turns have no markers, what the user says begins one."""
        current = self.running()
        if current and (current.state is TurnState.OPEN or current.is_empty):
            return current
        return self._new_turn(None, place)

    def disown(self, turn_id: str | None) -> None:
        """A review shows its parent the start and the items of a turn that is the review's own."""
        turn = self.turn(turn_id)
        if turn and turn.is_empty:
            self.of_others.add(turn.id)
            del self.turns[turn.id]
            if turn.id == self.current:
                self.current = None

    # What happened in them

    def hear(self, who: str, item_id: bytes, turn: TurnCount, line: Line | None) -> bool:
        """Somebody (`user` or `agent`) said something; whether it is news."""
        turn.is_empty = False
        if item_id:  # an event of wrapped rollouts has none: each is another
            if item_id in turn.said:
                return False
            if self.past is not None and self._has_recalled(item_id) and item_id in turn.said:
                return False
            turn.said.add(item_id)
        if who == "user":
            self.user_messages += 1
        else:
            self.agent_messages += 1
            self.last_words = line
        return True

    def entitle(self, text: str) -> None:
        """The first thing that the user said names the thread."""
        if self.title is None:
            self.title = " ".join(text[: 4 * _TITLE].split())[:_TITLE]

    def ran(self, item_id: str, turn: TurnCount, code: int | None) -> None:
        """A command ended: it counts in the turn that called it, and `turn` is where that was reported."""
        turn = self.caller_of(item_id) or turn
        self.calls.pop(item_id, None)
        turn.is_empty = False
        turn.codes[item_id] = code

    def caller_of(self, call_id: str) -> TurnCount | None:
        """The turn that made a call, if it is known."""
        turn_id = self.callers.get(call_id)
        if turn_id is None and self.past is not None and self.was_called(call_id):
            turn_id = self.callers[call_id]
        return None if turn_id is None else self.turns.get(turn_id)

    def call(self, call_id: str, turn: TurnCount, line: Line) -> None:
        """A tool was called; what for is looked at when it matters."""
        turn.is_empty = False
        before = self.open_call(call_id)
        if before and before.turn_id == turn.id:  # the line stands there twice
            return
        if before and isinstance(kept.action_in(before.line.data), Command):
            self.turns[before.turn_id].codes[call_id] = None
        self.calls[call_id] = OpenCall(turn.id, line)
        self.callers[call_id] = turn.id

    def answer(self, call_id: str, line: bytes, place: Place) -> None:
        """A call was answered, if only with the news that its command still runs."""
        call = self.calls[call_id]
        action = kept.action_in(call.line.data)
        if isinstance(action, Command):
            self._answered(call_id, call, kept.answer_in(line))
            return
        del self.calls[call_id]
        if isinstance(action, ToolCall) and action.name in GOAL_TOOLS:
            self.goal = goal_told(kept.answer_in(line), at_us(place.timestamp)) or self.goal
        asked = session_asked(action) if action else None
        if asked and asked not in self.sessions:
            self._has_recalled(asked.encode(errors="replace"))
        running = self.sessions.get(asked or "")
        if running is not None and running in self.calls:
            self._answered(running, self.calls[running], kept.answer_in(line))

    def _answered(self, call_id: str, call: OpenCall, text: str) -> None:
        outcome = outcome_of(text)
        if outcome.session is not None:
            self.sessions[outcome.session] = call_id
        if outcome.status is not ItemStatus.IN_PROGRESS:
            self.turns[call.turn_id].codes[call_id] = outcome.exit_code
            del self.calls[call_id]

    # Tokens

    def spend(self, response_id: str, turn_id: str, usage: TokenUsage, byte: int, timestamp: str) -> None:
        """A response was paid for, once."""
        self.has_records = True
        if response_id in self.spent or (self.past and self.past.paid(response_id)):
            return
        if self.past:
            self.turn(turn_id)  # its model is the response's
        self.spent[response_id] = Spent(turn_id, usage, byte, timestamp)

    def count(self, total: TokenUsage, last: TokenUsage, place: Place) -> None:
        """A running total that has grown stands for one response, where there are no records."""
        if not self.has_records and total != self.total:
            self.total = total
            spent = Spent(self.current or "", last, place.byte, place.timestamp)
            self.spent.setdefault(f"token_count-at-byte-{place.byte}", spent)
