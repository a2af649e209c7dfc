"""The model of the nights that are timed: every answer takes its time, and the proposed edit does nothing.

Owns what is answered to whom, ours and SkillOpt's prompts alike, and the count of who asked. Does not own the server.
Invariant: whether a task succeeds is a fair coin, tossed for each task, skill and try, so no edit helps or harms; the
same seed tosses alike whatever the order of requests. A request takes `seconds`, neither more nor less.
"""

import json
import random
import re
import threading
from collections import Counter
from typing import Any

import msgspec

from armarius.testing.conversation import Conversation
from armarius.testing.model import ScriptedModel
from armarius.testing.reply import Reply, Say

__all__ = ["SECTION", "NightModel"]

SECTION = ' Add a "Key Risks" section.'
_NULL_EDIT = "Think about who reads this before you start."
_PROMPTS = re.compile(r"^user prompts:\n  - (.*)$", re.MULTILINE)
_TASK = re.compile(r"# Task\n(.*?)\n\n", re.DOTALL)
_IDS = re.compile(r'"task_id": ?"([^"]+)"')


class NightModel:
    """Answers both contestants; `asked` counts requests by what they were for."""

    def __init__(self, seconds: float, seed: int) -> None:
        self._seconds = seconds
        self._seed = seed
        self._lock = threading.Lock()  # each connection has a thread of its own
        self._tries = Counter[str]()
        self._worker = ScriptedModel()
        self.asked = Counter[str]()

    def __call__(self, conversation: Conversation) -> Reply:
        kind, reply = self._reply(conversation)
        with self._lock:
            self.asked[kind] += 1
        return msgspec.structs.replace(reply, waits=(self._seconds,))

    def _reply(self, conversation: Conversation) -> tuple[str, Reply]:
        task = conversation.task
        if task.startswith("ARMARIUS NAMING v1"):
            return "naming", _said({"kinds": []})
        if task.startswith("ARMARIUS REFLECTION v1"):
            behind = sorted(set(_IDS.findall(task)))
            edit = {"op": "add", "anchor": None, "text": _NULL_EDIT, "why": "it seems wise", "tasks": behind}
            return "reflection", _said({"edits": [edit]})
        if task.startswith("You are mining a user's past"):
            return "mining", _said(_mined(task))
        if task.startswith("You are SkillOpt's optimizer"):
            return "reflection", _said([{"op": "add", "content": _NULL_EDIT, "anchor": "", "rationale": "wise"}])
        if (found := _TASK.search(task)) is not None and task.startswith("Complete the following task"):
            return "replay", Reply((Say(self._answer(found[1], task)),))
        # Ours has the skill in its home: real Codex lists it, and the worker reads it first.
        first = self._worker(conversation)
        if not any(isinstance(step, Say) for step in first.steps):
            return "reading", first
        return "replay", Reply((Say(self._answer(task, "\n".join(conversation.skills))),))

    def _answer(self, task: str, skill: str) -> str:
        """An answer that does what was asked for in one of two tries."""
        arm = f"{task} {skill.count(_NULL_EDIT)}"
        with self._lock:
            self._tries[arm] += 1
            number = self._tries[arm]
        chance = random.Random(f"{self._seed} {arm} {number}")  # noqa: S311 - a simulation, no secret
        return "# Brief\n\nIt depends.\n" + ("\n## Key Risks\n\nSome.\n" if chance.random() < 0.5 else "")  # noqa: PLR2004


def _mined(prompt: str) -> list[dict[str, Any]]:
    """What a model would make of a session of ours: the request itself, and its check."""
    found = _PROMPTS.search(prompt)
    checks = [{"op": "section_present", "arg": "Key Risks"}]
    return [{"intent": found[1], "checks": checks, "rubric": "", "satisfied": False}] if found else []


def _said(value: Any) -> Reply:
    return Reply((Say(json.dumps(value, ensure_ascii=False)),))
