"""The totals of a folder of sessions, as other tools come to them: the standard library, and DuckDB.

Owns two straight readers and their cost, measured after import. Does not own our reader, nor the
programs of others (`peers`).
Invariant: the last line printed is one JSON object with `wall_s`, `cpu_s` and `totals`; neither
reader skips a line or looks into one before it is decoded.

    python benchmarks/sessions/others.py json|duckdb|duckdb-tokens FOLDER
"""

import importlib
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

__all__ = ["duckdb_totals", "json_totals"]

TOKENS: Final = {
    "input": "input_tokens",
    "cached_input": "cached_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_output_tokens",
}
_EXITED: Final = re.compile(r"Process exited with code (-?\d+)\n")
_COMMAND_TOOLS: Final = frozenset({"exec_command", "shell"})


def json_totals(folder: Path) -> dict[str, Any]:
    """All totals of the conformance table, each line through `json.loads`."""
    totals: dict[str, Any] = {"files": 0}
    turns, commands, tokens, counted = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for path in sorted(folder.rglob("rollout-*.jsonl")):
        totals["files"] += 1
        with path.open("rb") as lines:
            thread = _Thread()
            for line in lines:
                thread.add(json.loads(line))
        turns.update(thread.turns.values())
        commands.update("none" if code is None else str(code) for code in thread.commands.values())
        tokens.update(thread.recorded if thread.has_records else thread.total)
        counted.update(thread.counted)
    return totals | {
        "turns": dict(sorted(turns.items())),
        "commands": dict(sorted(commands.items())),
        "tokens": {name: tokens[theirs] for name, theirs in TOKENS.items()},
        "user_messages": counted["user"],
        "agent_messages": counted["agent"],
    }


class _Thread:
    def __init__(self) -> None:
        self.turns: dict[str, str] = {}
        self.commands: dict[str, int | None] = {}
        self.recorded: Counter[str] = Counter()
        self.total: dict[str, int] = {}
        self.has_records = False
        self.counted: Counter[str] = Counter()

    def add(self, record: dict[str, Any]) -> None:
        payload = record["payload"]
        match record["type"]:
            case "token_usage_record":
                self.has_records = True
                self.recorded.update(payload["usage"])
            case "event_msg":
                self._event(payload)
            case "response_item":
                self._response(payload)
            case _:
                pass

    def _event(self, payload: dict[str, Any]) -> None:
        match payload["type"]:
            case "task_started":
                self.turns[payload["turn_id"]] = "open"
            case "task_complete":
                failed = payload.get("error") or self.turns[payload["turn_id"]] == "failed"
                self.turns[payload["turn_id"]] = "failed" if failed else "completed"
            case "turn_aborted":
                self.turns[payload["turn_id"]] = "interrupted"
            case "error":
                self.turns[next(reversed(self.turns))] = "failed"
            case "user_message":
                self.counted["user"] += 1
            case "agent_message":
                self.counted["agent"] += 1
            case "token_count" if payload["info"]:
                self.total = payload["info"]["total_token_usage"]
            case "item_completed":
                item = payload["item"]
                match item["type"]:
                    case "UserMessage":
                        self.counted["user"] += 1
                    case "AgentMessage":
                        self.counted["agent"] += 1
                    case "CommandExecution":
                        self.commands[item["id"]] = item["exit_code"]
                    case _:
                        pass
            case _:
                pass

    def _response(self, payload: dict[str, Any]) -> None:
        match payload["type"]:
            case "function_call" if payload["name"] in _COMMAND_TOOLS:
                self.commands[payload["call_id"]] = None
            case "function_call_output" if payload["call_id"] in self.commands:
                if exited := _EXITED.search(payload["output"]):
                    self.commands[payload["call_id"]] = int(exited[1])
            case _:
                pass


_USAGE: Final = "STRUCT(" + ", ".join(f"{name} BIGINT" for name in TOKENS.values()) + ")"
_TOKENS_ONLY: Final = f"usage {_USAGE}, info STRUCT(total_token_usage {_USAGE})"
_EVERYTHING: Final = (
    '"type" VARCHAR, turn_id VARCHAR, error STRUCT(message VARCHAR), call_id VARCHAR, name VARCHAR, output VARCHAR, '
    f'item STRUCT("type" VARCHAR, id VARCHAR, exit_code INTEGER), {_TOKENS_ONLY}'
)
_TURNS: Final = """
    SELECT state, count(*) FROM (
        SELECT max(CASE payload.type WHEN 'task_started' THEN '0 open' WHEN 'turn_aborted' THEN '1 interrupted'
            ELSE if(payload.error IS NULL, '1 completed', '1 failed') END)[3:] AS state
        FROM record WHERE payload.type IN ('task_started', 'task_complete', 'turn_aborted')
        GROUP BY filename, payload.turn_id) GROUP BY state ORDER BY state
"""
_COMMANDS: Final = r"""
    SELECT coalesce(code::VARCHAR, 'none') AS code, count(*) FROM (
        SELECT coalesce(max(payload.item.exit_code),
                   max(TRY_CAST(regexp_extract(payload.output, 'exited with code (-?\d+)', 1) AS INTEGER))) AS code
        FROM record
        WHERE payload.type IN ('function_call', 'function_call_output') OR payload.item.type = 'CommandExecution'
        GROUP BY filename, coalesce(payload.call_id, payload.item.id)
        HAVING bool_or(payload.name IN ('exec_command', 'shell') OR payload.item.type = 'CommandExecution')
    ) GROUP BY code ORDER BY code
"""
_SAID: Final = """
    SELECT count(*) FILTER (payload.type = 'user_message' OR payload.item.type = 'UserMessage'),
           count(*) FILTER (payload.type = 'agent_message' OR payload.item.type = 'AgentMessage') FROM record
"""


def duckdb_totals(folder: Path, *, tokens_only: bool = False) -> dict[str, Any]:
    """The same totals, or the tokens alone; only what is needed has a type, so that DuckDB can skip the rest."""
    connection: Any = _duckdb().connect()
    columns = f"{{type: 'VARCHAR', payload: 'STRUCT({_TOKENS_ONLY if tokens_only else _EVERYTHING})'}}"
    source = f"""read_json('{folder}/sessions/**/rollout-*.jsonl', format = 'newline_delimited',
                           columns = {columns}, filename = true)"""
    record = f"SELECT filename, payload FROM {source}"  # noqa: S608  # the folder is the caller's own
    if not tokens_only:
        connection.execute(f"CREATE TEMP TABLE record AS {record}")
        record = "FROM record"
    each = ", ".join(
        f"coalesce(sum(payload.usage.{name}), max(payload.info.total_token_usage.{name}), 0) AS {name}"
        for name in TOKENS.values()
    )
    sums = ", ".join(f"sum({name})" for name in TOKENS.values())
    of_threads = f"SELECT count(*), {sums} FROM (SELECT filename, {each} FROM ({record}) GROUP BY filename)"  # noqa: S608
    files, *tokens = connection.execute(of_threads).fetchone()
    totals: dict[str, Any] = {"files": files, "tokens": dict(zip(TOKENS, map(int, tokens), strict=True))}
    if tokens_only:
        return totals
    user, agent = connection.execute(_SAID).fetchone()
    return totals | {
        "turns": dict(connection.execute(_TURNS).fetchall()),
        "commands": dict(connection.execute(_COMMANDS).fetchall()),
        "user_messages": user,
        "agent_messages": agent,
    }


def _duckdb() -> Any:
    """Lives with the peers, and not in our environment."""
    return importlib.import_module("duckdb")


def main() -> None:
    """Print what the reader found and what it cost."""
    reader, folder = sys.argv[1], Path(sys.argv[2])
    if reader != "json":
        _duckdb()
    wall, cpu = time.perf_counter(), time.process_time()
    totals = json_totals(folder) if reader == "json" else duckdb_totals(folder, tokens_only=reader == "duckdb-tokens")
    cost = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    print(json.dumps(cost | {"totals": totals}))


if __name__ == "__main__":
    main()
