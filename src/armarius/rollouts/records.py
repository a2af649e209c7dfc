"""One line of a rollout as one record.

Owns the envelope, the records that are neither an item nor a call (who the thread is, when turns
start and end, what a response cost), and the choice of the right type for a line. Does not own what
follows from a record; that is the fold.
Invariant: only fields that are used have a name here. All others, and the whole payload of records
that mean nothing to us, are skipped while decoding. A kind that has no type here is not refused: it
comes out as a Stranger with its bytes.
"""

from typing import Any, Final, TypeAlias, get_args

import msgspec
from msgspec import Raw, Struct

from armarius.rollouts.calls import Call, CustomToolCallOutput, FunctionCallOutput
from armarius.rollouts.legacy import LegacyEvent
from armarius.rollouts.paginated import TurnItem
from armarius.rollouts.parts import Number, word
from armarius.rollouts.permissions import TurnContext
from armarius.rollouts.usage import TokenCount, TokenUsageRecord
from armarius.thread import Goal

__all__ = [
    "CompactedLine",
    "Event",
    "EventLine",
    "Git",
    "GoalUpdated",
    "GoalValue",
    "ItemCompleted",
    "MessageResponse",
    "Problem",
    "ReasoningResponse",
    "Record",
    "Response",
    "ResponseLine",
    "SessionMeta",
    "SessionMetaLine",
    "Stranger",
    "TaskComplete",
    "TaskStarted",
    "ThreadSettingsApplied",
    "TurnAborted",
    "TurnContextLine",
    "UsageLine",
    "WorldStateLine",
    "decode",
    "goal_told",
]


class _Event(Struct, tag_field="type"):
    turn_id: str | None = None


class TaskStarted(_Event, tag="task_started"):
    """A turn begins (0.104 and later)."""


class Problem(Struct):
    """Why a turn failed."""

    message: str = ""
    codex_error_info: Raw = Raw()


class TaskComplete(_Event, tag="task_complete"):
    """The end of a turn, of a failed one as well: then it carries `error`."""

    last_agent_message: str | None = None
    error: Problem | None = None


class TurnAborted(_Event, tag="turn_aborted"):
    """Somebody stopped the turn."""


class ItemCompleted(_Event, tag="item_completed", kw_only=True):
    """Something happened in a turn; of another thread's when `thread_id` says so (reviews)."""

    item: TurnItem
    thread_id: str | None = None


class GoalValue(Struct):
    """What a thread pursues, as events and tools say it; in both spellings of Rust's names."""

    objective: str = ""
    status: str = ""
    token_budget: Number | None = None
    tokens_used: Number | None = None
    tokenBudget: Number | None = None  # noqa: N815 (Codex's spelling)
    tokensUsed: Number | None = None  # noqa: N815 (Codex's spelling)

    def value(self, at: int | None) -> Goal:
        budget = self.token_budget if self.token_budget is not None else self.tokenBudget
        used = self.tokens_used if self.tokens_used is not None else self.tokensUsed
        return Goal(self.objective, self.status, budget, used, at)


class _Told(Struct):
    goal: GoalValue | None = None


_TOLD = msgspec.json.Decoder(_Told)


def goal_told(answer: str, at: int | None) -> Goal | None:
    """The goal in the answer of one of the model's tools for it; None when it says nothing of one."""
    try:
        goal = _TOLD.decode(answer.encode()).goal
    except (ValueError, RecursionError):
        return None
    return goal.value(at) if goal else None


class GoalUpdated(_Event, tag="thread_goal_updated", kw_only=True):
    """A client set, changed or cleared the goal; what the model does to it stands in its calls."""

    goal: GoalValue | None = None


class ThreadSettingsApplied(_Event, tag="thread_settings_applied", kw_only=True):
    """What the next turns run with, unless a context of their own says otherwise."""

    thread_settings: TurnContext


class _Response(Struct, tag_field="type"):
    pass


class MessageResponse(_Response, tag="message"):
    """Said by or to the model, context included; what people said has an item or event as well."""


class ReasoningResponse(_Response, tag="reasoning"):
    """Encrypted for the most part; its summary has an item or event as well."""


Event: TypeAlias = (
    ItemCompleted
    | TaskStarted
    | TaskComplete
    | TurnAborted
    | ThreadSettingsApplied
    | GoalUpdated
    | TokenCount
    | LegacyEvent
)
Response: TypeAlias = MessageResponse | ReasoningResponse | Call | FunctionCallOutput | CustomToolCallOutput


class _Line(Struct, tag_field="type"):
    timestamp: str = ""
    ordinal: Number | None = None


class Git(Struct):
    """Where the repository of a thread stood."""

    commit_hash: str | None = None
    branch: str | None = None


class SessionMeta(Struct):
    """Who this thread is. All before `subagent_history_start_ordinal` was copied from its parent."""

    id: str
    session_id: str | None = None
    timestamp: str = ""
    cwd: str | None = None
    source: str | dict[str, Raw] | None = None
    originator: str | None = None
    cli_version: str | None = None
    model_provider: str | None = None
    history_mode: str | None = None
    parent_thread_id: str | None = None
    forked_from_id: str | None = None
    subagent_history_start_ordinal: Number | None = None
    git: Git | None = None


class SessionMetaLine(_Line, tag="session_meta", kw_only=True):
    """The first line; another one is part of a history that was copied. Bare lines have another shape."""

    payload: SessionMeta
    is_bare: bool = False


class TurnContextLine(_Line, tag="turn_context", kw_only=True):
    """Once for each turn, in early versions for each request."""

    payload: TurnContext


class UsageLine(_Line, tag="token_usage_record", kw_only=True):
    """Tokens."""

    payload: TokenUsageRecord


class EventLine(_Line, tag="event_msg", kw_only=True):
    """What a person watching would have seen."""

    payload: Event


class ResponseLine(_Line, tag="response_item", kw_only=True):
    """What the model was sent or answered."""

    payload: Response


class CompactedLine(_Line, tag="compacted"):
    """The history was replaced by a summary; paginated rollouts have an item for it as well."""


class WorldStateLine(_Line, tag="world_state"):
    """What the model was told about its surroundings."""


class Stranger(_Line, kw_only=True):
    """A record without a type here, or whose payload does not fit its type: then `problem` says why.

    `scope` is `item`, `response_item`, `event_msg` or, for a whole record, empty.
    """

    scope: str
    kind: str
    raw: bytes
    id: str | None = None
    turn_id: str | None = None
    thread_id: str | None = None
    problem: str | None = None


_Known: TypeAlias = (
    ResponseLine | EventLine | UsageLine | TurnContextLine | WorldStateLine | CompactedLine | SessionMetaLine
)
Record: TypeAlias = _Known | Stranger


class _Envelope(Struct):
    timestamp: str = ""
    ordinal: Number | None = None
    type: str = ""
    payload: Raw = Raw()


class _Payload(Struct):
    """The few fields that any payload may have, whatever they hold."""

    type: Any = None
    id: Any = None
    turn_id: Any = None
    thread_id: Any = None
    item: Raw = Raw()


def _tags(union: object) -> frozenset[str]:
    return frozenset(kind.__struct_config__.tag for kind in get_args(union))


_KINDS: Final = {
    "": _tags(_Known),
    "event_msg": _tags(Event),
    "response_item": _tags(Response),
    "item": _tags(TurnItem),
}
_RECORD = msgspec.json.Decoder(_Known)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_PAYLOAD = msgspec.json.Decoder(_Payload)


def decode(line: bytes) -> Record:
    """The record of a line; msgspec.DecodeError when it is no JSON object, RecursionError when too deep."""
    try:
        return _RECORD.decode(line)
    except msgspec.ValidationError as error:
        return _stranger(_ENVELOPE.decode(line), str(error))


def _stranger(envelope: _Envelope, problem: str) -> Stranger:
    scope, kind, raw = "", envelope.type, bytes(envelope.payload)
    payload = _payload_of(raw)
    turn_id, thread_id = payload.turn_id, payload.thread_id
    if kind in {"event_msg", "response_item"}:
        scope, kind = kind, word(payload.type) or ""
    if kind == "item_completed":
        scope, raw = "item", bytes(payload.item)
        payload = _payload_of(raw)
        kind = word(payload.type) or ""
    return Stranger(
        timestamp=envelope.timestamp,
        ordinal=envelope.ordinal,
        scope=scope,
        kind=kind,
        raw=raw,
        id=word(payload.id),
        turn_id=word(turn_id),
        thread_id=word(thread_id),
        problem=problem if kind in _KINDS[scope] else None,
    )


def _payload_of(raw: bytes) -> _Payload:
    try:
        return _PAYLOAD.decode(raw)
    except msgspec.DecodeError:
        return _Payload()
