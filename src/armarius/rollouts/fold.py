"""Records become a Thread, one after the other.

Owns what follows from a record for its thread: which turn it belongs to, whether it is this thread's
own, whether it was told before. Does not own the shapes of records, nor where they are read.
Invariant: folding the same records in the same order gives the same Thread, whenever it is looked
at in between; nothing that was run is dropped, and nothing is counted twice.
"""

from collections import Counter

from msgspec import Raw

from armarius.rollouts.calls import Answer, answered, outcome_of, session_asked
from armarius.rollouts.copies import Copy, copy_at_head
from armarius.rollouts.drafts import Action, Draft
from armarius.rollouts.generations import generation_of
from armarius.rollouts.legacy import ErrorEvent, UserMessageEvent
from armarius.rollouts.limits import failure_kind, retry_at_us
from armarius.rollouts.paginated import CallItem
from armarius.rollouts.parts import Here, at_us
from armarius.rollouts.permissions import TurnContext
from armarius.rollouts.records import (
    CompactedLine,
    Event,
    EventLine,
    GoalUpdated,
    ItemCompleted,
    MessageResponse,
    Problem,
    ReasoningResponse,
    Record,
    Response,
    ResponseLine,
    SessionMeta,
    SessionMetaLine,
    Stranger,
    TaskComplete,
    TaskStarted,
    ThreadSettingsApplied,
    TurnAborted,
    TurnContextLine,
    UsageLine,
    WorldStateLine,
    goal_told,
)
from armarius.rollouts.usage import Meter, TokenCount
from armarius.thread import (
    RATE_LIMITED,
    BadLine,
    Command,
    Compaction,
    Format,
    Goal,
    Item,
    Other,
    Thread,
    ToolCall,
    TurnState,
)

__all__ = ["GOAL_TOOLS", "KEPT", "QUIET", "ThreadFold"]

# Known, and kept as they came.
KEPT = frozenset(
    {
        "item:EnteredReviewMode",
        "item:ExitedReviewMode",
        "item:HookPrompt",
        "item:ImageGeneration",
        "item:ImageView",
        "item:Plan",
        "item:Sleep",
        "item:SubAgentActivity",
        "item:WebSearch",
        "response_item:agent_message",
        "response_item:image_generation_call",
        "response_item:tool_search_call",
        "response_item:tool_search_output",
    }
)
# Known, and said elsewhere or not about what happened.
QUIET = frozenset(
    {
        "event_msg:agent_reasoning_raw_content",
        "event_msg:context_compacted",
        "event_msg:entered_review_mode",
        "event_msg:exited_review_mode",
        "event_msg:image_generation_end",
        "event_msg:mcp_tool_call_end",
        "event_msg:sub_agent_activity",
        "event_msg:thread_name_updated",
        "event_msg:thread_rolled_back",
        "event_msg:undo_completed",
        "event_msg:web_search_end",
        "inter_agent_communication",
        "inter_agent_communication_metadata",
        "response_item:additional_tools",
        "response_item:compaction",
        "response_item:compaction_summary",
        "response_item:context_compaction",
        "response_item:ghost_snapshot",
    }
)
GOAL_TOOLS = frozenset({"create_goal", "get_goal", "update_goal"})


class ThreadFold:
    """One thread in the making. `thread_id` is what it is called until a record says its id."""

    def __init__(self, path: str, thread_id: str, here: type[Here] = Here) -> None:
        self._path = path
        self._here = here
        self._meta = SessionMeta(id=thread_id)
        self._is_named = False
        self._turns: dict[str, Draft] = {}
        self._current: Draft | None = None
        self._settings: TurnContext | None = None
        self._of_others: set[str] = set()
        self._calls: dict[str, Draft] = {}
        self._sessions: dict[str, str] = {}
        self._meter = Meter()
        self._copy: Copy | None = None
        self._limits = Raw()
        self._goal: Goal | None = None
        self._is_bare = self._has_markers = self._has_world_state = False
        self._unknown: Counter[str] = Counter()
        self._bad_lines: list[BadLine] = []
        self._first = self._last = ""

    def add(self, record: Record, line: int, byte: int) -> None:
        """Fold in the record that stands on `line`, from `byte` on."""
        if self._copy is not None and self._is_copied(record, self._copy):
            return
        self.saw(record.timestamp)
        here = self._here(self._path, line, byte, record.ordinal, record.timestamp)
        match record:
            case ResponseLine():
                self._response(record.payload, here)
            case EventLine():
                self._event(record.payload, here)
            case UsageLine():
                if not self._is_foreign(record.payload.thread_id):
                    self._meter.record(record.payload, here)
            case TurnContextLine():
                self._turn(record.payload.turn_id, here).runs_with(record.payload)
            case SessionMetaLine():
                if not self._is_named:
                    self._meta, self._is_named = record.payload, True
                    self._is_bare = record.is_bare
                if not self._turns:
                    self._copy = copy_at_head(self._meta, record)
            case CompactedLine():
                if self._meta.history_mode != "paginated":
                    self._put(Compaction(here.id("compaction"), here.spot, here.at_us), None, here)
            case Stranger():
                self._strange(record, here)
            case WorldStateLine():
                self._has_world_state = True

    def saw(self, timestamp: str) -> None:
        """The thread was alive then."""
        self._first = self._first or timestamp
        self._last = timestamp or self._last

    def reject(self, line: int, byte: int, reason: str) -> None:
        """Something stood there that could not be used."""
        self._bad_lines.append(BadLine(self._path, line, byte, reason))

    def thread(self) -> Thread:
        """All that is known by now."""
        meta = self._meta
        return Thread(
            meta.id,
            self._path,
            turns=tuple(draft.turn(runs=draft is self._current) for draft in self._turns.values()),
            responses=self._meter.responses,
            started_at_us=at_us(meta.timestamp or self._first),
            last_at_us=at_us(self._last),
            cwd=meta.cwd,
            source=next(iter(meta.source), None) if isinstance(meta.source, dict) else meta.source,
            originator=meta.originator,
            cli_version=meta.cli_version,
            model_provider=meta.model_provider,
            history_mode=meta.history_mode,
            parent_id=meta.parent_thread_id,
            forked_from_id=meta.forked_from_id,
            git_commit=meta.git.commit_hash if meta.git else None,
            git_branch=meta.git.branch if meta.git else None,
            goal=self._goal,
            format=self._format(),
            unknown=dict(self._unknown),
            bad_lines=tuple(self._bad_lines),
        )

    def _format(self) -> Format:
        if self._is_bare:
            return Format.BARE
        return generation_of(
            self._meta.cli_version,
            self._meta.history_mode,
            has_markers=self._has_markers,
            has_world_state=self._has_world_state,
            has_usage=self._meter.has_records,
        )

    def _is_copied(self, record: Record, copy: Copy) -> bool:
        if not copy.holds(record):
            self._copy = None if copy.own_from is None else copy
            return False
        if isinstance(record, EventLine) and isinstance(record.payload, TokenCount):
            self._meter.pass_by(record.payload)
        return True

    # What belongs where

    def _is_foreign(self, thread_id: str | None) -> bool:
        return thread_id is not None and thread_id != self._meta.id != ""

    def _turn(self, turn_id: str | None, here: Here) -> Draft:
        """The turn of that id; else the one that runs, since a thread runs one at a time.

        Between turns, what names no turn belongs to the last one, and what names a new one begins it.
        """
        draft = self._turns.get(turn_id or "") or self._current
        if draft is None and turn_id is None:
            draft = next(reversed(self._turns.values()), None)
        return draft or self._begin(turn_id, here)

    def _begin(self, turn_id: str | None, here: Here) -> Draft:
        draft = Draft(turn_id or here.id("turn"), self._settings)
        draft.started_at_us = here.at_us
        self._turns[draft.id] = self._current = draft
        return draft

    def _put(self, item: Item, turn_id: str | None, here: Here) -> None:
        draft = self._calls.get(item.id) if isinstance(item, Action) else None
        (draft or self._turn(turn_id, here)).put(item)

    # Turns

    def _event(self, event: Event, here: Here) -> None:
        match event:
            case ItemCompleted():
                self._item(event, here)
            case TokenCount():
                self._limits = event.rate_limits
                self._meter.count(event, self._current.id if self._current else "", here)
            case GoalUpdated():
                self._goal = event.goal.value(here.at_us) if event.goal else None
            case TaskStarted():
                self._has_markers = True
                draft = self._turns.get(event.turn_id or "") or self._begin(event.turn_id, here)
                draft.state, draft.error, self._current = TurnState.OPEN, None, draft
            case TaskComplete():
                self._end(event, TurnState.FAILED if event.error else TurnState.COMPLETED, here)
            case TurnAborted():
                self._end(event, TurnState.INTERRUPTED, here)
            case ThreadSettingsApplied():
                self._settings = event.thread_settings
            case UserMessageEvent() if event.kind not in {None, "plain"}:
                pass
            case UserMessageEvent():
                self._user_turn(here).put(event.value(here))
            case _:
                self._put(event.value(here), event.turn_id, here)
                if isinstance(event, ErrorEvent):
                    self._fail(self._turn(event.turn_id, here), event, here)

    def _end(self, event: TaskComplete | TurnAborted, state: TurnState, here: Here) -> None:
        if event.turn_id in self._of_others:
            return
        draft = self._turn(event.turn_id, here)
        draft.ended_at_us = here.at_us
        if isinstance(event, TaskComplete):
            draft.final_message = event.last_agent_message
            if event.error:
                self._fail(draft, event.error, here)
        draft.state = TurnState.FAILED if draft.error is not None else state
        if draft is self._current:
            self._current = None

    def _fail(self, draft: Draft, problem: Problem | ErrorEvent, here: Here) -> None:
        draft.state, draft.error = TurnState.FAILED, problem.message
        draft.error_kind = failure_kind(problem.codex_error_info, problem.message)
        if draft.error_kind in RATE_LIMITED:
            draft.retry_at_us = retry_at_us(self._limits, problem.message, here.at_us)

    def _user_turn(self, here: Here) -> Draft:
        """Where turns have no markers, what the user says begins one."""
        current = self._current
        if current and (current.state is TurnState.OPEN or current.is_empty):
            return current
        return self._begin(None, here)

    # What happened in them

    def _item(self, event: ItemCompleted, here: Here) -> None:
        if self._is_foreign(event.thread_id):
            self._disown(event.turn_id)
        elif not (isinstance(event.item, CallItem) and event.item.id in self._calls):
            self._put(event.item.value(here), event.turn_id, here)

    def _disown(self, turn_id: str | None) -> None:
        """A review shows its parent the start and the items of a turn that is the review's own."""
        draft = self._turns.get(turn_id or "")
        if draft and draft.is_empty:
            self._of_others.add(draft.id)
            del self._turns[draft.id]
            if draft is self._current:
                self._current = None

    def _strange(self, record: Stranger, here: Here) -> None:
        if self._is_foreign(record.thread_id):
            self._disown(record.turn_id)
            return
        name = f"{record.scope}:{record.kind}" if record.scope else record.kind or "(no type)"
        if record.problem is not None:
            self.reject(here.line, here.byte, f"{name}: {record.problem}")
        elif name not in KEPT and name not in QUIET:
            self._unknown[name] += 1
        if record.scope in {"item", "response_item"} and name not in QUIET:
            other_id = record.id or here.id(record.kind)
            other = Other(other_id, record.kind, record.raw, here.spot, here.at_us)
            self._put(other, record.turn_id, here)

    def _response(self, response: Response, here: Here) -> None:
        match response:
            case MessageResponse() | ReasoningResponse():
                pass
            case Answer():
                if response.call_id is not None:
                    self._answer(response.call_id, response.text, here)
            case _:
                action = response.value(here)
                self._calls[action.id] = draft = self._turn(None, here)
                draft.put(action)

    def _answer(self, call_id: str, text: str, here: Here) -> None:
        if call_id not in self._calls:
            if not self._turn(None, here).has_action(call_id):  # its end may have been told without its beginning
                self._put(ToolCall(call_id, "", "", here.spot, text, here.at_us), None, here)
            return
        action = self._settle(call_id, text)
        if isinstance(action, ToolCall) and action.name in GOAL_TOOLS:
            self._goal = goal_told(text, here.at_us) or self._goal
        session = session_asked(action)
        running = self._sessions.get(session or "")
        if running is not None:
            self._settle(running, text)

    def _settle(self, call_id: str, text: str) -> Action:
        draft = self._calls[call_id]
        action = answered(draft.action(call_id), text)
        draft.put(action)
        if isinstance(action, Command) and (session := outcome_of(text).session):
            self._sessions[session] = call_id
        return action
