"""The few fields of a line that counting needs, decoded without the rest of it, many lines at a time.

Owns the slim shapes of records. Does not own what they change, nor where lines begin (`windows`).
Invariant: lines that do not all fit are None here, and the caller then decodes each whole. What fits
is told apart by its type, as the full records are; a kind that counting knows nothing short about is
an `Unread`. What fits here fits the full record, too: every field that has a type there has it here,
needed or not, so that a line which the reader throws out is not counted.

One call for all lines of a window: to ask the decoder line by line, or to look for the few bytes in
Python, takes longer than to let it skip everything that has no name here.
"""

from typing import Any, Final, TypeVar, Union, get_args

import msgspec
from msgspec import Raw, Struct

from armarius.rollouts.fold import KEPT, QUIET
from armarius.rollouts.paginated import TurnItem
from armarius.rollouts.parts import Content, Duration, Number
from armarius.rollouts.records import Event, Response
from armarius.rollouts.salvage import UNREADABLE
from armarius.rollouts.usage import TokenInfo, TokenUsageRecord

__all__ = [
    "AgentItem",
    "AgentSaid",
    "Answered",
    "Begin",
    "Called",
    "Compacted",
    "Completed",
    "Context",
    "End",
    "Item",
    "Meta",
    "Nothing",
    "RanItem",
    "Reasoned",
    "Record",
    "Settings",
    "Spending",
    "Tokens",
    "Unread",
    "UserItem",
    "UserSaid",
    "by_shape",
    "records_in",
]


class Unread(Struct, gc=False):
    """A record that has to be decoded whole to be counted."""


class Nothing(Struct, gc=False):
    """A record that changes no count."""


class Completed(Struct, gc=False):
    """Something happened in a turn; `item` is of a kind below."""

    item: Any
    thread_id: str | None = None
    turn_id: str | None = None


class Item(Struct, gc=False):
    """An item that is only a sign that its turn is not empty."""

    id: str


class _ReasoningItem(Item, gc=False, tag="Reasoning"):
    summary_text: list[str] = []
    raw_content: list[str] = []


class _Change(Struct, gc=False):
    type: str | None = None
    move_path: str | None = None


class _FileChangeItem(Item, gc=False, tag="FileChange"):
    changes: dict[str, _Change] = {}
    status: str | None = None


class _CompactionItem(Item, gc=False, tag="ContextCompaction"):
    pass


class UserItem(Struct, gc=False, tag="UserMessage"):
    """What the user said."""

    id: str
    content: Content = ""


class AgentItem(Struct, gc=False, tag="AgentMessage"):
    """What the agent said. To decode the words costs no more than to skip them."""

    id: str
    content: Content = ""
    phase: str | None = None


class RanItem(Struct, gc=False, tag="CommandExecution"):
    """A command that ran."""

    id: str
    command: list[str] = []
    cwd: str | None = None
    status: str | None = None
    exit_code: Number | None = None
    aggregated_output: str | None = None
    duration: Duration | None = None


class Tokens(Struct, gc=False, tag="token_count"):
    """The running total, and how full the plan's windows are."""

    turn_id: str | None = None
    info: TokenInfo | None = None


class Begin(Struct, gc=False, tag="task_started"):
    """A turn begins."""

    turn_id: str | None = None


class _Error(Struct, gc=False):
    message: str = ""


class End(Struct, gc=False, tag="task_complete"):
    """A turn is over."""

    turn_id: str | None = None
    last_agent_message: str | None = None
    error: _Error | None = None


class Context(Struct, gc=False):
    """What a turn runs with."""

    turn_id: str | None = None
    cwd: str | None = None
    model: str | None = None
    effort: str | None = None
    reasoning_effort: str | None = None
    approval_policy: str | dict[str, Raw] | None = None


class Settings(Struct, gc=False, tag="thread_settings_applied"):
    """What the next turns run with."""

    thread_settings: Context
    turn_id: str | None = None


class UserSaid(Struct, gc=False, tag="user_message"):
    """What the user said, as wrapped rollouts have it."""

    message: str = ""
    kind: str | None = None
    turn_id: str | None = None


class AgentSaid(Struct, gc=False, tag="agent_message"):
    """What the agent said, as wrapped rollouts have it."""

    message: str = ""
    phase: str | None = None
    turn_id: str | None = None


class Reasoned(Struct, gc=False, tag="agent_reasoning"):
    """A sign that the turn is not empty."""

    text: str = ""
    turn_id: str | None = None


class Called(Struct, gc=False):
    """A tool was called."""

    call_id: str
    name: str


class _Function(Called, gc=False, tag="function_call"):
    arguments: str = ""


class _Custom(Called, gc=False, tag="custom_tool_call"):
    input: str = ""


class Answered(Struct, gc=False):
    """A call was answered."""

    call_id: str | None = None
    output: Content = ""


class Spending(TokenUsageRecord, gc=False):
    """What a response cost."""


class Meta(Struct, gc=False):
    """Who the thread is."""


class Compacted(Struct, gc=False):
    """The history was replaced."""


T = TypeVar("T")


class Record(Struct, gc=False):
    """A line: when it was written, and the slim shape of what it says."""

    timestamp: str
    payload: Any
    ordinal: Number | None = None


def _kinds(base: type[Struct], *names: str) -> tuple[type[Struct], ...]:
    """Shapes without fields."""
    return tuple(msgspec.defstruct(f"_{name}", [], bases=(base,), tag=name, gc=False) for name in names)


def _others(known: object, scope: str, mine: tuple[type[Struct], ...]) -> tuple[type[Struct], ...]:
    """Shapes for all kinds that have none among mine."""
    names = {str(kind.__struct_config__.tag) for kind in get_args(known)}
    names |= {name.partition(":")[2] for name in KEPT | QUIET if name.startswith(f"{scope}:")}
    return _kinds(Unread, *sorted(names - {str(kind.__struct_config__.tag) for kind in mine}))


def _line(tag: str, payload: Any) -> type[Struct]:
    return msgspec.defstruct(f"_{tag}", [("payload", payload)], bases=(Record,), tag=tag, gc=False)


def _union(kinds: tuple[type[Struct], ...]) -> Any:
    return Union[kinds]  # noqa: UP007  # the kinds are known when the program runs


_ITEMS: Final = (UserItem, AgentItem, RanItem, _ReasoningItem, _FileChangeItem, _CompactionItem)
_RESPONSES: Final = (
    *_kinds(Nothing, "message", "reasoning"),
    *(_Function, _Custom),
    *_kinds(Answered, "function_call_output", "custom_tool_call_output"),
)
_EVENTS: Final = (
    *(Tokens, Begin, End, Settings, UserSaid, AgentSaid, Reasoned),
    msgspec.defstruct(
        "_item_completed",
        [("item", _union((*_ITEMS, *_others(TurnItem, "item", _ITEMS))))],
        bases=(Completed,),
        tag="item_completed",
        gc=False,
    ),
)
_ALL_EVENTS: Final = (*_EVENTS, *_others(Event, "event_msg", _EVENTS))
_ALL_RESPONSES: Final = (*_RESPONSES, *_others(Response, "response_item", _RESPONSES))
_SHAPES: Final = (*_ALL_EVENTS, *_ALL_RESPONSES, Spending, Context, Nothing, Meta, Compacted, Unread)
_LINES: Final = (
    _line("event_msg", _union(_ALL_EVENTS)),
    _line("response_item", _union(_ALL_RESPONSES)),
    _line("token_usage_record", Spending),
    _line("turn_context", Context),
    _line("world_state", Nothing),
    _line("session_meta", Meta),
    _line("compacted", Compacted),
    *(_line(kind, Unread) for kind in sorted(QUIET) if ":" not in kind),
)
_records = msgspec.json.Decoder(_union(_LINES)).decode_lines


def by_shape(taken: dict[type[Struct], T]) -> dict[type[Struct], T]:
    """What is meant for each shape, given for those that they are made of."""
    return {shape: taken[base] for shape in _SHAPES for base in shape.__mro__ if base in taken}


def records_in(lines: bytes | memoryview) -> list[Record] | None:
    """The records of lines."""
    try:
        return _records(lines)
    except UNREADABLE:
        return None
