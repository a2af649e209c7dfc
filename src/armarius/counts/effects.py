"""What each kind of record changes in a tally.

Owns taking in one whole record. Does not own the counts and their rules (`tally`), nor the short cuts
past decoding (`scan`).
Invariant: which turn a record belongs to and what counts twice is as `rollouts.fold` has it, which
keeps all contents and is what this is held against.
"""

from armarius.counts.entries import Line, Place
from armarius.counts.tally import Tally
from armarius.rollouts.calls import Answer, Call, WebSearchCall
from armarius.rollouts.copies import Copy, copy_at_head
from armarius.rollouts.fold import KEPT, QUIET
from armarius.rollouts.legacy import AgentMessageEvent, ErrorEvent, ExecCommandEnd, PatchApplyEnd, UserMessageEvent
from armarius.rollouts.paginated import (
    AgentMessageItem,
    CallItem,
    CommandExecutionItem,
    FileChangeItem,
    UserMessageItem,
)
from armarius.rollouts.parts import NOWHERE, at_us
from armarius.rollouts.records import (
    Event,
    EventLine,
    GoalUpdated,
    ItemCompleted,
    Record,
    ResponseLine,
    SessionMetaLine,
    Stranger,
    TaskComplete,
    TaskStarted,
    ThreadSettingsApplied,
    TurnAborted,
    TurnContextLine,
    UsageLine,
)
from armarius.rollouts.usage import TokenCount
from armarius.thread import TurnState

__all__ = ["count_record"]


def count_record(tally: Tally, record: Record, line: bytes, place: Place) -> bool:
    """Count the record that `line` holds; whether it is the thread's own."""
    if tally.copy is not None and _is_copied(tally, record, tally.copy):
        return False
    tally.saw(place.timestamp)
    match record:
        case ResponseLine():
            _response(tally, record, line, place)
        case EventLine():
            _event(tally, record.payload, line, place)
        case UsageLine():
            if not tally.is_foreign(record.payload.thread_id):
                spent = record.payload
                tally.spend(spent.response_id, spent.turn_id, spent.usage, place.byte, place.timestamp)
        case TurnContextLine():
            tally.runs_with(tally.turn_of(record.payload.turn_id, place), record.payload.model, _kept(line, place))
        case SessionMetaLine():
            tally.name(record.payload)
            if not tally.turns and not tally.closed.turns:
                tally.copy = copy_at_head(tally.meta, record)
        case Stranger():
            _strange(tally, record, place)
        case _:
            pass
    return True


def _is_copied(tally: Tally, record: Record, copy: Copy) -> bool:
    if not copy.holds(record):
        tally.copy = None if copy.own_from is None else copy
        return False
    if isinstance(record, EventLine) and isinstance(record.payload, TokenCount) and record.payload.info:
        tally.total = record.payload.info.total_token_usage
    return True


def _event(tally: Tally, event: Event, line: bytes, place: Place) -> None:
    match event:
        case ItemCompleted():
            _item(tally, event, line, place)
        case TokenCount():
            tally.limits = _kept(line, place)
            if event.info:
                tally.count(event.info.total_token_usage, event.info.last_token_usage, place)
        case TaskStarted():
            tally.begin(event.turn_id, place)
        case TaskComplete():
            tally.end(event.turn_id, TurnState.COMPLETED, event.error, place)
        case TurnAborted():
            tally.end(event.turn_id, TurnState.INTERRUPTED, None, place)
        case ThreadSettingsApplied():
            tally.model = event.thread_settings.model
        case GoalUpdated():
            tally.goal = event.goal.value(at_us(place.timestamp)) if event.goal else None
        case UserMessageEvent():
            if event.kind in {None, "plain"}:
                tally.hear("user", b"", tally.user_turn(place), None)
                tally.entitle(event.message)
        case AgentMessageEvent():
            tally.hear("agent", b"", tally.turn_of(event.turn_id, place), _kept(line, place))
        case ExecCommandEnd():
            turn = tally.caller_of(event.call_id) or tally.turn_of(event.turn_id, place)
            tally.ran(event.call_id, turn, event.exit_code)
        case PatchApplyEnd():
            (tally.caller_of(event.call_id) or tally.turn_of(event.turn_id, place)).is_empty = False
        case _:
            turn = tally.turn_of(event.turn_id, place)
            turn.is_empty = False
            if isinstance(event, ErrorEvent):
                tally.fail(turn, event, place)


def _item(tally: Tally, event: ItemCompleted, line: bytes, place: Place) -> None:
    item = event.item
    if tally.is_foreign(event.thread_id):
        tally.disown(event.turn_id)
        return
    match item:
        case UserMessageItem():
            if tally.hear("user", item.id.encode(), tally.turn_of(event.turn_id, place), None):
                tally.entitle(item.value(NOWHERE).text)
        case AgentMessageItem():
            tally.hear("agent", item.id.encode(), tally.turn_of(event.turn_id, place), _kept(line, place))
        case CommandExecutionItem():
            turn = tally.caller_of(item.id) or tally.turn_of(event.turn_id, place)
            tally.ran(item.id, turn, item.exit_code)
        case CallItem() if tally.was_called(item.id):
            pass
        case CallItem() | FileChangeItem():
            (tally.caller_of(item.id) or tally.turn_of(event.turn_id, place)).is_empty = False
        case _:
            tally.turn_of(event.turn_id, place).is_empty = False


def _response(tally: Tally, record: ResponseLine, line: bytes, place: Place) -> None:
    response = record.payload
    if isinstance(response, Answer):
        if response.call_id is not None and tally.open_call(response.call_id):
            tally.answer(response.call_id, line, place)
        elif response.call_id is not None:
            tally.turn_of(None, place).is_empty = False
    elif isinstance(response, WebSearchCall):
        tally.turn_of(None, place).is_empty = False
    elif isinstance(response, Call):
        tally.call(response.value(NOWHERE).id, tally.turn_of(None, place), _kept(line, place))


def _strange(tally: Tally, record: Stranger, place: Place) -> None:
    if tally.is_foreign(record.thread_id):
        tally.disown(record.turn_id)
        return
    name = f"{record.scope}:{record.kind}" if record.scope else record.kind or "(no type)"
    if record.problem is not None:
        tally.bad_lines += 1
    elif name not in KEPT and name not in QUIET:
        tally.unknown[name] = tally.unknown.get(name, 0) + 1
    if record.scope in {"item", "response_item"} and name not in QUIET:
        tally.turn_of(record.turn_id, place).is_empty = False


def _kept(line: bytes, place: Place) -> Line:
    return Line(place.byte, len(line), line)
