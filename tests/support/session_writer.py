"""Session files as Codex 0.169 writes them, about work that a test makes up.

Owns the lines of a session with requests, answers, commands, patches and tokens. Does not own where it lies in
the life of a thread; `tests/data/rollouts` has files of real ones.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Asked", "Session"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. `ran` are commands with their exit codes, `added` files that a patch made, relative to the folder."""

    prompt: str
    answer: str = "Done."
    ran: tuple[tuple[str, int], ...] = ()
    added: tuple[str, ...] = ()
    tokens: int = 1_000
    end: str = "task_complete"


class Session:
    """One session file, turn by turn."""

    def __init__(
        self,
        number: int,
        *,
        cwd: Path,
        day: str = "2026-11-20",
        hour: int = 10,
        source: str = "cli",
        thread_source: str = "user",
        parent: str | None = None,
        commit: str | None = None,
    ) -> None:
        self.id = f"01a1f8dc-0000-7000-8000-{number:012x}"
        self._cwd = str(cwd)
        self._day, self._second = day, hour * 3_600
        self._turns = 0
        self._lines = list[str]()
        meta: dict[str, Any] = {"id": self.id, "cwd": str(cwd), "source": source, "thread_source": thread_source}
        meta |= {"originator": "codex_cli_rs", "cli_version": "0.169.0", "history_mode": "paginated"}
        meta |= {"timestamp": self._now(), "model_provider": "openai"}
        meta |= {"parent_thread_id": parent} if parent else {}
        meta |= {"git": {"commit_hash": commit, "branch": "main"}} if commit else {}
        self._line("session_meta", meta)

    def turn(self, number: int) -> str:
        """The id of one of its turns, counted from 1."""
        return f"01a1f8dd-{self.id[-4:]}-7000-8000-{number:012x}"

    def ask(self, *asked: Asked) -> "Session":
        for one in asked:
            self._ask(one)
        return self

    def _ask(self, asked: Asked) -> None:
        self._turns += 1
        turn = self.turn(self._turns)
        self._event("task_started", turn_id=turn)
        self._line("turn_context", {"turn_id": turn, "cwd": self._cwd, "model": "gpt-5.5"})
        context = f"<environment_context>\n  <cwd>{self._cwd}</cwd>\n</environment_context>"
        self._said("user", context, turn)
        self._said("user", asked.prompt, turn)
        self._item(turn, {"type": "UserMessage", "id": f"u{turn}", "content": [{"type": "text", "text": asked.prompt}]})
        for place, (command, code) in enumerate(asked.ran):
            item = {"type": "CommandExecution", "id": f"c{place}{turn}", "command": ["/bin/bash", "-lc", command]}
            item |= {"cwd": f"file://{self._cwd}", "exit_code": code, "aggregated_output": ""}
            self._item(turn, item | {"status": "failed" if code else "completed"})
        if asked.added:
            changes = {f"{self._cwd}/{path}": {"type": "add", "content": "x\n"} for path in asked.added}
            self._item(turn, {"type": "FileChange", "id": f"f{turn}", "changes": changes, "status": "completed"})
        message = {"type": "AgentMessage", "id": f"a{turn}", "content": [{"type": "Text", "text": asked.answer}]}
        self._item(turn, message | {"phase": "final_answer"})
        usage = {"input_tokens": asked.tokens - 10, "output_tokens": 10}
        ids = {"thread_id": self.id, "turn_id": turn, "response_id": f"r{turn}"}
        self._line("token_usage_record", ids | {"usage": usage})
        self._second += 20
        self._event(asked.end, turn_id=turn, last_agent_message=asked.answer)

    def _said(self, role: str, text: str, turn: str) -> None:
        content = [{"type": "input_text", "text": text}]
        self._line("response_item", {"type": "message", "id": f"m{role}{turn}", "role": role, "content": content})

    def _item(self, turn: str, item: dict[str, Any]) -> None:
        self._event("item_completed", thread_id=self.id, turn_id=turn, item=item)

    def _event(self, kind: str, **fields: Any) -> None:
        self._line("event_msg", {"type": kind, **fields})

    def _line(self, kind: str, payload: dict[str, Any]) -> None:
        line = {"timestamp": self._now(), "ordinal": len(self._lines), "type": kind, "payload": payload}
        self._lines.append(json.dumps(line, separators=(",", ":")))

    def _now(self) -> str:
        hours, rest = divmod(self._second, 3_600)
        return f"{self._day}T{hours:02}:{rest // 60:02}:{rest % 60:02}.000Z"

    def text(self) -> bytes:
        return ("\n".join(self._lines) + "\n").encode()

    def name(self) -> str:
        return f"rollout-{self._day}T10-00-00-{self.id}.jsonl"

    def write(self, codex_home: Path, *, archived: bool = False) -> Path:
        """Where Codex would put it."""
        folder = codex_home / ("archived_sessions" if archived else f"sessions/{self._day.replace('-', '/')}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name()
        path.write_bytes(self.text())
        return path
