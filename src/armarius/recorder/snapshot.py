"""A part of a session, as a document that SkillClaw reads as a session.

Owns what of the exchanges goes into a snapshot, and joining parts to the whole. Does not own when one is made or
where it goes (snapshots.py).
Invariant: made of lines of the journal, which are redacted. A turn that goes on in a later part has its number there
again; nothing that an earlier part has is repeated.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from armarius.clock import rfc3339
from armarius.recorder.exchange import Exchange
from armarius.recorder.items import Item, field_of, read_item, said_in, text_of

__all__ = ["Mark", "Progress", "Snapshot", "SnapshotTurn", "build", "join"]

_LONGEST_TEXT = 64 << 10
_LONGEST_OUTPUT = 16 << 10
_SKILL = re.compile(r"[\w./~@+-]*?([\w.@+-]{1,200})/SKILL\.md\b")
_PATCHED = re.compile(r"\*\*\* (Add|Update|Delete) File: (\S*?([\w.@+-]{1,200})/SKILL\.md)\b")
_EXIT = re.compile(r"(?:exited with code|exit code:?|\"exit_code\":)\s*(-?\d{1,6})", re.IGNORECASE)


class SnapshotTurn(msgspec.Struct):
    """One turn of a user, or (`side`) of a sub-agent; field by field what SkillClaw has."""

    turn_num: int
    raw_turn_kind: str
    user_turn_num: int | None
    turn_id: str | None
    timestamp: str
    prompt_text: str = ""
    response_text: str = ""
    reasoning_content: str = ""
    tool_calls: list[dict[str, Any]] = []
    tool_results: list[dict[str, Any]] = []
    read_skills: list[dict[str, str]] = []
    modified_skills: list[dict[str, str]] = []
    injected_skills: list[str] = []
    end: str = ""
    model: Any = None
    agent: str | None = None
    usage: dict[str, int] = {}
    prm_score: float | None = None


class Mark(msgspec.Struct, frozen=True):
    """Which part of the session this is, and the last exchange in it."""

    part: int
    through: str
    schema: str = "armarius.snapshot.v1"


class Snapshot(msgspec.Struct):
    """A part of a session; for SkillClaw, a session."""

    session_id: str
    timestamp: str
    user_alias: str
    num_turns: int
    turns: list[SnapshotTurn]
    armarius: Mark


class Progress(msgspec.Struct):
    """How far a session is in its snapshots; `seen` are the items that are in them, `at_us` is when one was written."""

    part: int = 0
    through: str = ""
    turns: int = 0
    user_turns: int = 0
    last: dict[str, tuple[str | None, int, int | None]] = {}
    """Of each thread the newest turn: its id and its numbers."""
    seen: set[str] = set()
    at_us: int = 0


def build(session: str, alias: str, exchanges: Sequence[Exchange], progress: Progress) -> Snapshot:
    """The next part, of `exchanges`; `progress` goes on to behind it."""
    turns = list[SnapshotTurn]()
    open_turns = dict[str, SnapshotTurn]()
    for exchange in exchanges:
        if exchange.identity.kind == "turn":
            _add(turns, open_turns, exchange, progress)
        elif exchange.identity.kind == "compaction":
            _add_last_results(turns, open_turns, exchange, progress)
    progress.part += 1
    progress.through = exchanges[-1].id
    moment = rfc3339(max(exchange.at_us + exchange.duration_us for exchange in exchanges))
    return Snapshot(session, moment, alias, len(turns), turns, Mark(progress.part, progress.through))


def join(parts: Iterable[Snapshot]) -> Snapshot:
    """The whole session, out of its parts in their order."""
    whole: Snapshot | None = None
    by_number = dict[int, SnapshotTurn]()
    for part in parts:
        for turn in part.turns:
            earlier = by_number.setdefault(turn.turn_num, turn)
            if earlier is not turn:
                _continue(earlier, turn)
        whole = part
    if whole is None:
        raise ValueError("a session has a part")
    turns = list(by_number.values())
    return msgspec.structs.replace(whole, num_turns=len(turns), turns=turns)


def _continue(turn: SnapshotTurn, later: SnapshotTurn) -> None:
    for name in ("prompt_text", "response_text", "reasoning_content"):
        setattr(turn, name, "\n".join(filter(None, (getattr(turn, name), getattr(later, name)))))
    for name in ("tool_calls", "tool_results", "read_skills", "modified_skills", "injected_skills"):
        known = getattr(turn, name)
        known.extend(one for one in getattr(later, name) if one not in known)
    turn.usage = {name: turn.usage.get(name, 0) + later.usage.get(name, 0) for name in {*turn.usage, *later.usage}}
    turn.end = later.end


def _add(
    turns: list[SnapshotTurn], open_turns: dict[str, SnapshotTurn], exchange: Exchange, progress: Progress
) -> None:
    unseen = _unseen(exchange, progress)
    items = _new(exchange, unseen)
    said = said_in(items)
    if not said and (exchange.identity.thread or "") not in progress.last:
        said = said_in(unseen)[-1:]  # the first that is known of it is in the middle of a turn
    turn = _turn_of(turns, open_turns, exchange, progress, begins=bool(said))
    _append(turn, "prompt_text", said)
    outputs = [read_item(raw) for raw in exchange.output]
    progress.seen.update(item.id for item in (*items, *outputs) if item.id)
    _add_results(turn, items)
    for item in outputs:
        if item.type == "message":
            _append(turn, "response_text", [text_of(item)])
        elif item.type == "reasoning":
            _append(turn, "reasoning_content", [_summary(item)])
        elif item.is_call:
            _add_call(turn, item)
    turn.end, turn.model = exchange.end, exchange.model
    turn.injected_skills += [name for name in exchange.injected if name not in turn.injected_skills]
    for name in ("input_tokens", "output_tokens"):
        count = field_of(exchange.usage, name)
        turn.usage[name] = turn.usage.get(name, 0) + (count if isinstance(count, int) else 0)


def _add_last_results(
    turns: list[SnapshotTurn], open_turns: dict[str, SnapshotTurn], exchange: Exchange, progress: Progress
) -> None:
    """A compaction in the middle of a turn is the only request that has the outputs of the calls just before it."""
    known = progress.last.get(exchange.identity.thread or "")
    results = [item for item in _new(exchange, _unseen(exchange, progress)) if _is_result(item)]
    if results and known is not None and known[0] == exchange.identity.turn:
        progress.seen.update(item.id for item in results if item.id)
        _add_results(_turn_of(turns, open_turns, exchange, progress, begins=False), results)


def _add_results(turn: SnapshotTurn, items: Iterable[Item]) -> None:
    names = {call["id"]: call["function"]["name"] for call in turn.tool_calls}
    turn.tool_results += [_result(item, names) for item in items if _is_result(item)]


def _is_result(item: Item) -> bool:
    return isinstance(item.type, str) and item.type.endswith("_output")


def _unseen(exchange: Exchange, progress: Progress) -> list[Item]:
    """The items that no part has, as far as their ids say so."""
    return [item for item in map(read_item, exchange.input) if not (item.id and item.id in progress.seen)]


def _new(exchange: Exchange, unseen: list[Item]) -> list[Item]:
    """Those of them that are new. A history that was recorded whole, because the recorder did not know it, says
    something new only after the last answer in it.
    """
    if exchange.base is not None:
        return unseen
    answers = [place for place, item in enumerate(unseen) if item.is_answer]
    return unseen[answers[-1] + 1 :] if answers else unseen


def _turn_of(
    turns: list[SnapshotTurn],
    open_turns: dict[str, SnapshotTurn],
    exchange: Exchange,
    progress: Progress,
    *,
    begins: bool,
) -> SnapshotTurn:
    identity = exchange.identity
    thread, side = identity.thread or "", identity.subagent is not None
    known = progress.last.get(thread)
    goes_on = known is not None and (known[0] == identity.turn if identity.turn else not begins)
    if goes_on and thread in open_turns:
        return open_turns[thread]
    if known is not None and goes_on:
        number, user_number = known[1], known[2]
    else:
        progress.turns += 1
        progress.user_turns += not side
        number, user_number = progress.turns, None if side else progress.user_turns
        progress.last[thread] = (identity.turn, number, user_number)
    turn = SnapshotTurn(
        turn_num=number,
        raw_turn_kind="side" if side else "final",
        user_turn_num=user_number,
        turn_id=identity.turn,
        timestamp=rfc3339(exchange.at_us),
        agent=identity.subagent,
    )
    open_turns[thread] = turn
    turns.append(turn)
    return turn


def _append(turn: SnapshotTurn, field: str, texts: Iterable[str]) -> None:
    together = "\n".join(filter(None, (getattr(turn, field), *texts)))
    setattr(turn, field, _cut(together, _LONGEST_TEXT))


def _add_call(turn: SnapshotTurn, item: Item) -> None:
    arguments = next((text for text in (item.arguments, item.input) if isinstance(text, str)), None)
    if arguments is None:
        arguments = "" if item.action is None else msgspec.json.encode(item.action).decode()
    name = item.name if isinstance(item.name, str) else str(item.type).removesuffix("_call")
    call = str(item.call_id or item.id or "")
    told = {"name": name, "arguments": _cut(arguments, _LONGEST_OUTPUT)}
    turn.tool_calls.append({"id": call, "type": "function", "function": told})
    changed = {found[3]: (found[1].lower(), found[2]) for found in _PATCHED.finditer(arguments)}
    for skill, (action, path) in changed.items():
        turn.modified_skills.append({"skill_id": skill, "skill_name": skill, "path": path, "action": action})
    for found in _SKILL.finditer(arguments):
        read = {"skill_id": found[1], "skill_name": found[1], "path": found[0]}
        if found[1] not in changed and read not in turn.read_skills:
            turn.read_skills.append(read)


def _result(item: Item, names: dict[str, str]) -> dict[str, Any]:
    text = item.output if isinstance(item.output, str) else msgspec.json.encode(item.output).decode()
    code = _EXIT.search(text)
    failed = code is not None and int(code[1]) != 0
    call = str(item.call_id or "")
    told = {"tool_name": names.get(call, ""), "tool_call_id": call, "has_error": failed}
    return told | {"error_type": f"exit {code[1]}" if code and failed else None, "content": _cut(text, _LONGEST_OUTPUT)}


def _summary(item: Item) -> str:
    texts = (field_of(part, "text") for part in _listed(item.summary))
    return "\n".join(text for text in texts if isinstance(text, str))


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n[… {len(text) - most:,} characters left out …]\n{text[-(most - most // 2) :]}"
