"""Makes a CODEX_HOME full of sessions, with its truth beside it.

Owns the story of each thread (turns, commands, what fails, what is left open, what it costs) and
`truth.json`, which says what any reader of the folder must find. Does not own the shape of lines
(`records`), the lengths and shares that they follow (`fit`), nor the words.
Invariant: seed and arguments decide every byte, also the files' times; `truth.json` counts while the
lines are written and never reads them back.

    python benchmarks/sessions/generate.py FOLDER [--seed 1] [--files 500] [--megabytes 500] [--print]
"""

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fit import FIRST, FIT, LATER, Measure, drawn, print_beside
from records import Lines, Tokens, folder_of
from words import Words, quoted

__all__ = ["generate"]

UNTIL_MS: Final = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1_000)
_DAY_MS: Final = 86_400_000
_DAYS: Final = 60
_TURN_BYTES: Final = 10_500
_VERSIONS: Final = {
    "0.169.0": 40,
    "0.165.0": 20,
    "0.160.0": 15,
    "0.155.1": 10,
    "0.150.0": 5,
    "0.144.4": 5,
    "0.139.0": 5,
}
_MODELS: Final = {
    "gpt-5-codex": 30,
    "gpt-5": 15,
    "gpt-5.1-codex": 20,
    "gpt-5.1-codex-mini": 10,
    "gpt-5.5": 15,
    "o4-mini": 10,
}
_SOURCES: Final = {"exec": 40, "cli": 35, "vscode": 25}
_EXITS: Final = {0: 78, 1: 12, 2: 4, 101: 1, 124: 1, 127: 2, 128: 1, 130: 1}
_ENDS: Final = {"completed": 94, "failed": 2, "interrupted": 4}
_FAILURES: Final = (
    ("You’ve hit your usage limit. Try again at Dec 3rd, 2026 2:13 PM.", "usage_limit_exceeded"),  # noqa: RUF001
    ("stream disconnected before completion: stream closed before response.completed", "other"),
    ("unexpected status 500 Internal Server Error", "internal_server_error"),
)
_OPEN_AT_END: Final = 0.05
_PARENTED: Final = 0.06
_PATCHED: Final = 0.04
_PLANNED: Final = 0.02
_LONG: Final = (2_000, 40_000)


class Story:
    """One thread while it is written, and what is true of it."""

    def __init__(self, rng: random.Random, words: Words, lines: Lines, *, skills: str, long_texts: float) -> None:
        self.rng, self.words, self.lines, self.skills, self.long_texts = rng, words, lines, skills, long_texts
        self.turns: Counter[str] = Counter()
        self.exits: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.responses = 0
        self.last = "unknown"
        self._context = rng.randrange(9_000, 14_000)

    def turn(self, section: str, end: str) -> None:
        """One user turn, with all that happens until `end`."""
        lines, rng = self.lines, self.rng
        self._opens(section)
        lines.user_says(self._text("user"))
        self.counted["user_messages"] += 1
        self.turns[end] += 1
        self.last = end
        lines.pass_ms(rng.randrange(800, 6_000))
        calls = self._calls(section)
        for _ in range(calls):
            self._acts()
        if end == "completed":
            text = self._text("agent")
            lines.agent_says(text)
            self.counted["agent_messages"] += 1
            self._costs()
            lines.completes(text)
        elif end == "failed":
            lines.counts(None if not any(lines.total) else self._last_cost)
            lines.pass_ms(rng.randrange(1_000, 90_000))
            lines.completes(None, rng.choice(_FAILURES))
        elif rng.random() < 1 / 2:
            self._calls_in_vain()
        if end == "interrupted":
            lines.aborts()

    def compaction(self) -> None:
        """A turn of its own, in which the history is summarised."""
        lines, rng = self.lines, self.rng
        lines.pass_ms(self._pause_ms())
        lines.turn_started(trigger="compact")
        lines.pass_ms(rng.randrange(3_000, 20_000))
        summary = self.words.prose(rng, 260)
        if lines.is_paginated:
            lines.agent_says(summary, is_item=False)
        self._costs()
        lines.compacts(summary, self.skills * 5)
        self._context = rng.randrange(9_000, 14_000)
        if lines.version >= "0.144":
            lines.world_state(self.skills)
        lines.turn_context()
        lines.settings()
        lines.completes(None)
        self.counted["compactions"] += 1
        self.turns["completed"] += 1
        self.last = "completed"

    def _opens(self, section: str) -> None:
        lines, rates = self.lines, FIT.rates
        is_first = section == FIRST
        if not is_first:
            lines.pass_ms(self._pause_ms())
            if self.rng.random() < rates["settings"]:
                lines.settings()
        lines.turn_started(trigger="user")
        if is_first:
            lines.permissions(self.skills)
            lines.environment(is_first=True)
            if lines.version >= "0.144":
                lines.world_state(self.skills)
        elif self.rng.random() < rates["environment"]:
            lines.permissions()
            lines.environment(is_first=False)
            if lines.version >= "0.144":
                lines.world_state(None)
        lines.turn_context()
        if is_first:
            lines.settings()

    def _calls(self, section: str) -> int:
        mean = FIT.calls[section]
        return sum(self.rng.random() < mean / 3 for _ in range(3))

    def _acts(self) -> None:
        """One answer of the model that calls a tool, and what came of it."""
        lines, rng = self.lines, self.rng
        lines.thinks(self.words.prose(rng, 9)[:-1], self._encrypted())
        self.counted["reasoning"] += 1
        chance = rng.random()
        if chance < _PATCHED:
            lines.patches(f"src/{rng.choice(self.words.rare)}.py", self.words.prose(rng, 60))
            self.counted["file_changes"] += 1
            self._costs()
        elif chance < _PATCHED + _PLANNED:
            step = json.dumps({"plan": [{"step": self.words.prose(rng, 30), "status": "in_progress"}]})
            call = lines.calls("update_plan", step)
            self._costs(before=lambda: lines.answers(call, "Plan updated"))
            self.counted["tool_calls"] += 1
        else:
            self._runs()
        lines.pass_ms(rng.randrange(500, 5_000))

    def _runs(self) -> None:
        lines, rng = self.lines, self.rng
        command = self.words.command(rng, drawn(rng, FIT.text["command"]))
        output = self.words.printed(rng, self._length("output"))
        code = rng.choices(list(_EXITS), weights=list(_EXITS.values()))[0]
        call = lines.calls("exec_command", json.dumps({"cmd": command}))
        self.exits[str(code)] += 1
        self._costs(before=lambda: self._command_answered(call, command, output, code))

    def _command_answered(self, call: str, command: str, output: str, code: int) -> None:
        lines, rng = self.lines, self.rng
        spent_ms = int(rng.lognormvariate(5.5, 1.6))
        lines.pass_ms(spent_ms)
        if lines.is_paginated and rng.random() < FIT.rates["item"]:
            lines.command_ended(call, command, output, code, spent_ms)
        head = f"Chunk ID: {rng.getrandbits(24):06x}\nWall time: {spent_ms / 1_000:.4f} seconds\n"
        head += f"Process exited with code {code}\nOriginal token count: {len(output) // 4}\nOutput:\n"
        lines.answers(call, head + output)

    def _calls_in_vain(self) -> None:
        """A command that nobody lived to see the end of."""
        command = self.words.command(self.rng, drawn(self.rng, FIT.text["command"]))
        self.lines.calls("exec_command", json.dumps({"cmd": command}))
        self._costs()
        self.exits["none"] += 1

    def _costs(self, before: Any = None) -> None:
        """One response: its record, what happened while it was under way, the running total."""
        rng, lines = self.rng, self.lines
        given = self._context
        cached = int(given * rng.choice((0, 0.5, 0.9, 0.97))) // 128 * 128
        output = 20 + int(rng.lognormvariate(4.8, 1.1))
        tokens: Tokens = (given, cached, rng.choice((0, 0, 0, 256)), output, int(output * rng.random() * 0.6))
        self._context = min(given + output + rng.randrange(20, 1_200), 240_000)
        self._last_cost = tokens
        self.responses += 1
        lines.costs(tokens)
        if before is not None:
            before()
        lines.counts(tokens)
        if rng.random() < FIT.rates["repeated count"]:
            lines.counts(tokens)

    _last_cost: Tokens = (0, 0, 0, 0, 0)

    def _text(self, kind: str) -> str:
        return self.words.prose(self.rng, self._length(kind))

    def _length(self, kind: str) -> int:
        if self.rng.random() < self.long_texts:
            low, high = _LONG
            return int(low * (high / low) ** self.rng.random()) // (8 if kind != "output" else 1)
        return drawn(self.rng, FIT.text[kind])

    def _encrypted(self) -> str:
        size = 4_000 if self.rng.random() < self.long_texts else drawn(self.rng, FIT.text["encrypted"])
        return ("Z0FBQUFB" + f"{self.rng.getrandbits(4 * size):x}")[:size] if size > len("Z0FBQUFB") else "Z0FBQUFB"

    def _pause_ms(self) -> int:
        """Until the person comes back."""
        return min(int(self.rng.lognormvariate(10.5, 1.3)), 4 * 3_600_000)


def generate(
    folder: Path, *, seed: int = 1, files: int = 500, megabytes: float = 500, long_texts: float = 0
) -> dict[str, Any]:
    """Write the folder; what is true of it comes back, and stands in `truth.json`."""
    words = Words(seed)
    shared = random.Random(f"{seed}:shared")  # noqa: S311  # reproducible on purpose
    repositories = [f"/srv/{shared.choice(words.rare)}" for _ in range(24)]
    instructions = {name: quoted(_manual(shared, words, FIT.base_instructions)) for name in _MODELS}
    skills = quoted(_manual(shared, words, FIT.skills))[1:-1]
    sizes = _sizes(shared, files, int(megabytes * 1_000_000))
    threads = list[dict[str, Any]]()
    for number, size in enumerate(sizes):
        rng = random.Random(f"{seed}:{number}")  # noqa: S311
        parent = rng.choice(threads)["id"] if threads and rng.random() < _PARENTED else None
        model = _pick(rng, _MODELS)
        lines = Lines(
            rng, version=_pick(rng, _VERSIONS), cwd=rng.choice(repositories), model=model, now_ms=_start(rng, size)
        )
        source = _pick(rng, _SOURCES)
        branch = rng.choice(("main", "main", "fix", "feature"))
        path = folder / folder_of(lines.now_ms, lines.thread_id)
        lines.session_meta(source=source, instructions=instructions[model], parent_id=parent, branch=branch)
        story = Story(rng, words, lines, skills=skills, long_texts=long_texts)
        _tell(story, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines.lines), encoding="utf-8")
        os.utime(path, ns=(lines.now_ms * 1_000_000, lines.now_ms * 1_000_000))
        threads.append(_truth(story, str(path.relative_to(folder)), "subagent" if parent else source, parent))
    truth = {"seed": seed, "totals": _totals(threads), "threads": threads}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1))
    return truth


def _tell(story: Story, size: int) -> None:
    lines, rng = story.lines, story.rng
    is_first = True
    while True:
        is_last = lines.size >= size - 2 * _TURN_BYTES // 3
        if not is_first and not is_last and rng.random() < FIT.rates["compaction"]:
            story.compaction()
            continue
        end = "open" if is_last and rng.random() < _OPEN_AT_END else _pick(rng, _ENDS)
        story.turn(FIRST if is_first else LATER, end)
        is_first = False
        if is_last:
            return


def _truth(story: Story, path: str, source: str, parent: str | None) -> dict[str, Any]:
    lines = story.lines
    names = ("input", "cached_input", "cache_write", "output", "reasoning")
    counts = ("user_messages", "agent_messages", "reasoning", "file_changes", "tool_calls", "compactions")
    return {
        "id": lines.thread_id,
        "path": path,
        "version": lines.version,
        "model": lines.model,
        "cwd": lines.cwd,
        "source": source,
        "parent": parent,
        "bytes": lines.size,
        "lines": len(lines.lines),
        "turns": dict(sorted(story.turns.items())),
        "last_turn": story.last,
        **{name: story.counted[name] for name in counts},
        "commands": dict(sorted(story.exits.items())),
        "responses": story.responses,
        "tokens": dict(zip(names, lines.total, strict=True)),
    }


def _totals(threads: list[dict[str, Any]]) -> dict[str, Any]:
    totals: dict[str, Any] = {"files": len(threads)}
    for name, value in threads[0].items():
        if isinstance(value, int):
            totals[name] = sum(thread[name] for thread in threads)
        elif isinstance(value, dict):
            summed = Counter[str]()
            for thread in threads:
                summed.update(thread[name])
            totals[name] = dict(sorted(summed.items()))
    return totals


def _sizes(rng: random.Random, files: int, total: int) -> list[int]:
    """Few long threads and many short ones."""
    shares = [rng.lognormvariate(0, 0.9) for _ in range(files)]
    return [int(total * share / sum(shares)) for share in shares]


def _start(rng: random.Random, size: int) -> int:
    """Some day of the last sixty, early enough for the thread to end by now; people work by day."""
    lasts_ms = min(size // _TURN_BYTES * 200_000, _DAYS * _DAY_MS // 2)
    day = rng.randrange(_DAYS) * _DAY_MS
    hour = min(max(rng.gauss(14, 3.5), 0), 23.99) * 3_600_000
    return min(UNTIL_MS // _DAY_MS * _DAY_MS - day + int(hour), UNTIL_MS - lasts_ms - 3_600_000)


def _manual(rng: random.Random, words: Words, size: int) -> str:
    """Instructions in sections and points, as those that Codex gives to a model."""
    text = ""
    while len(text) < size:
        text += f"\n\n## {words.prose(rng, 24)[:-1]}\n\n{words.prose(rng, 300)}\n"
        text += "\n".join(f"- {words.prose(rng, rng.randrange(40, 160))}" for _ in range(5)) + " “Don’t”."  # noqa: RUF001
    return text.strip()[:size]


def _pick(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def main() -> int:
    """Make the folder and say what is in it."""
    parser = argparse.ArgumentParser(description="Make a CODEX_HOME full of sessions.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--long-texts", type=float, default=0, help="share of texts far longer than in the corpus")
    parser.add_argument("--print", action="store_true", help="measure what was made, beside the corpus")
    given = parser.parse_args()
    if given.folder.exists() and any(given.folder.iterdir()):
        print(f"{given.folder} is not empty", file=sys.stderr)
        return 1
    began = time.monotonic()
    truth = generate(
        given.folder, seed=given.seed, files=given.files, megabytes=given.megabytes, long_texts=given.long_texts
    )
    print(json.dumps(truth["totals"]))
    print(f"made in {time.monotonic() - began:.1f} s")
    if given.print:
        measure = Measure()
        for thread in truth["threads"]:
            if thread["version"] >= "0.155":
                measure.add(given.folder / thread["path"])
        print_beside(measure, FIT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
