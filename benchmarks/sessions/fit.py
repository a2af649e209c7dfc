"""What session files are made of, measured, and the table that generated ones follow.

Owns the measure (lines, byte share, line lengths for each kind of record; text share) and FIT, which
was made with it from real rollouts of 0.155 to 0.169. Does not own the making of files.
Invariant: the real and the generated files go through the same measure, so that the two can be
compared line by line.

The corpus's threads have one turn or three: half of its bytes are the instructions in the first lines.
A thread of a megabyte begins alike and then has a hundred turns. So each section of a thread is fitted
by itself, and what becomes of the whole is printed too; `--long-texts` of the generator brings the
whole nearer to the corpus by what threads are long of in life, the output of commands.

    python benchmarks/sessions/fit.py FOLDER…        measures rollouts, and prints what FIT holds
"""

import argparse
import json
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

__all__ = ["FIRST", "FIT", "HEAD", "LATER", "Fit", "Measure", "drawn", "print_beside", "rollouts_under"]

_POINTS: Final = (0, 10, 25, 50, 75, 90, 100)
HEAD: Final = "head"
FIRST: Final = "first turn"
LATER: Final = "later turns"
ALL: Final = "all"
_SECTIONS: Final = (HEAD, FIRST, LATER)


Row: TypeAlias = tuple[float, float, int, int, int]
"""Lines per turn, share of the section's bytes, shortest, median and longest line."""


@dataclass(frozen=True)
class Fit:
    """Lengths are quantiles at 0, 10, 25, 50, 75, 90 and 100 %, in characters; rates are per turn."""

    text: dict[str, tuple[int, ...]]
    base_instructions: int
    skills: int
    calls: dict[str, float]
    rates: dict[str, float]
    mean_line: float
    text_share: dict[str, float]
    corpus: dict[tuple[str, str], Row]


FIT: Final = Fit(
    text={
        "user": (4, 6, 10, 17, 20, 20, 35),
        "agent": (1, 10, 15, 178, 217, 228, 228),
        "command": (5, 5, 14, 15, 15, 15, 30),
        "output": (0, 34, 56, 56, 90, 105, 105),
        "encrypted": (8, 8, 8, 8, 8, 8, 8),
    },
    base_instructions=20_900,
    skills=2_300,
    calls={FIRST: 0.48, LATER: 0.92},
    rates={"item": 0.82, "settings": 0.45, "compaction": 0.1, "environment": 0.2, "repeated count": 0.12},
    mean_line=1764,
    text_share={HEAD: 0.955, FIRST: 0.383, LATER: 0.175, ALL: 0.648},
    corpus={
        (HEAD, "session_meta"): (1.00, 1.0000, 21865, 21891, 22129),
        (FIRST, "event_msg/item_completed/AgentMessage"): (0.75, 0.0237, 354, 539, 591),
        (FIRST, "event_msg/item_completed/CommandExecution"): (0.40, 0.0190, 605, 705, 940),
        (FIRST, "event_msg/item_completed/Reasoning"): (0.40, 0.0094, 359, 360, 360),
        (FIRST, "event_msg/item_completed/UserMessage"): (1.00, 0.0272, 405, 419, 436),
        (FIRST, "event_msg/task_complete"): (0.85, 0.0250, 288, 506, 568),
        (FIRST, "event_msg/task_started"): (1.00, 0.0295, 245, 496, 497),
        (FIRST, "event_msg/thread_settings_applied"): (1.35, 0.0726, 724, 772, 1335),
        (FIRST, "event_msg/token_count"): (1.35, 0.0579, 318, 711, 713),
        (FIRST, "event_msg/turn_aborted"): (0.05, 0.0010, 302, 302, 302),
        (FIRST, "response_item/function_call"): (0.45, 0.0120, 307, 414, 535),
        (FIRST, "response_item/function_call_output"): (0.45, 0.0183, 558, 616, 666),
        (FIRST, "response_item/message/assistant"): (0.75, 0.0338, 324, 738, 850),
        (FIRST, "response_item/message/developer"): (1.00, 0.2210, 935, 3149, 6782),
        (FIRST, "response_item/message/user"): (2.05, 0.1145, 391, 817, 1402),
        (FIRST, "response_item/reasoning"): (0.40, 0.0098, 320, 407, 408),
        (FIRST, "token_usage_record"): (1.20, 0.0632, 803, 804, 808),
        (FIRST, "turn_context"): (1.00, 0.0558, 724, 772, 2161),
        (FIRST, "world_state"): (1.00, 0.2064, 462, 3257, 3721),
        (LATER, "compacted"): (0.10, 0.1136, 12901, 12901, 12901),
        (LATER, "event_msg/item_completed/AgentMessage"): (0.90, 0.0426, 363, 540, 591),
        (LATER, "event_msg/item_completed/CommandExecution"): (0.60, 0.0375, 638, 685, 800),
        (LATER, "event_msg/item_completed/ContextCompaction"): (0.10, 0.0031, 351, 351, 351),
        (LATER, "event_msg/item_completed/Reasoning"): (0.80, 0.0254, 360, 361, 361),
        (LATER, "event_msg/item_completed/UserMessage"): (0.90, 0.0331, 412, 417, 422),
        (LATER, "event_msg/task_complete"): (1.00, 0.0426, 304, 517, 568),
        (LATER, "event_msg/task_started"): (1.00, 0.0381, 246, 497, 497),
        (LATER, "event_msg/thread_settings_applied"): (0.50, 0.0324, 725, 725, 778),
        (LATER, "event_msg/token_count"): (2.00, 0.1236, 675, 713, 714),
        (LATER, "response_item/function_call"): (0.80, 0.0272, 298, 412, 418),
        (LATER, "response_item/function_call_output"): (0.80, 0.0436, 567, 620, 668),
        (LATER, "response_item/message/assistant"): (1.00, 0.0636, 439, 775, 852),
        (LATER, "response_item/message/developer"): (0.20, 0.0178, 937, 1012, 1088),
        (LATER, "response_item/message/user"): (1.10, 0.0795, 386, 817, 1352),
        (LATER, "response_item/reasoning"): (0.80, 0.0265, 321, 408, 410),
        (LATER, "token_usage_record"): (1.80, 0.1279, 803, 806, 809),
        (LATER, "turn_context"): (1.00, 0.0813, 725, 776, 2162),
        (LATER, "world_state"): (0.30, 0.0406, 462, 887, 3258),
    },
)


def drawn(rng: random.Random, quantiles: Sequence[int]) -> int:
    """A length of that distribution, linear between the quantiles."""
    at = rng.random() * 100
    for low, high, left, right in zip(_POINTS, _POINTS[1:], quantiles, quantiles[1:], strict=False):
        if at <= high:
            return round(left + (right - left) * (at - low) / (high - low))
    return quantiles[-1]


class Measure:
    """Rollouts taken together. Lines are kept apart by where they stand: head, first turn, later turns."""

    def __init__(self) -> None:
        self.files = 0
        self.turns: Counter[str] = Counter()
        self.lengths: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self.text: Counter[str] = Counter()
        self.texts: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, path: Path) -> None:
        self.files += 1
        section = HEAD
        with path.open("rb") as lines:
            for line in lines:
                record: dict[str, Any] = json.loads(line)
                kind = kind_of(record)
                if kind == "event_msg/task_started":
                    section = FIRST if section == HEAD else LATER
                    self.turns[section] += 1
                where = HEAD if kind == "session_meta" else section if section != HEAD else FIRST
                self.lengths[where, kind].append(len(line))
                self.text[where] += _text_bytes(record["payload"])
                self._texts_of(kind, record["payload"])

    def bytes(self, *sections: str) -> int:
        return sum(sum(sizes) for (where, _), sizes in self.lengths.items() if where in sections)

    def row(self, section: str, kind: str) -> Row | None:
        sizes = self.lengths.get((section, kind))
        if not sizes:
            return None
        rate = len(sizes) / (self.turns[section] or self.files)
        return rate, sum(sizes) / self.bytes(section), min(sizes), round(statistics.median(sizes)), max(sizes)

    def text_share(self, *sections: str) -> float:
        return sum(self.text[section] for section in sections) / (self.bytes(*sections) or 1)

    def mean_line(self) -> float:
        return self.bytes(*_SECTIONS) / (sum(map(len, self.lengths.values())) or 1)

    def _texts_of(self, kind: str, payload: Any) -> None:
        match kind:
            case "event_msg/item_completed/UserMessage":
                self.texts["user"].append(len(payload["item"]["content"][0]["text"]))
            case "event_msg/item_completed/AgentMessage":
                self.texts["agent"].append(len(payload["item"]["content"][0]["text"]))
            case "event_msg/item_completed/CommandExecution":
                self.texts["output"].append(len(payload["item"]["aggregated_output"]))
            case "response_item/function_call" if payload["name"] == "exec_command":
                self.texts["command"].append(len(json.loads(payload["arguments"]).get("cmd", "")))
            case "response_item/reasoning":
                self.texts["encrypted"].append(len(payload["encrypted_content"] or ""))
            case _:
                pass


def kind_of(record: dict[str, Any]) -> str:
    """The envelope's type, the payload's, and that of its item or its role."""
    payload = record["payload"]
    item: dict[str, Any] = payload.get("item") or {}
    last = item.get("type") or payload.get("role") or ""
    return "/".join(word for word in (record["type"], payload.get("type"), last) if word)


def _text_bytes(value: Any) -> int:
    """Bytes of strings that somebody could read: those with a blank in them."""
    if isinstance(value, str):
        return len(value.encode()) if " " in value else 0
    if isinstance(value, dict):
        return sum(map(_text_bytes, cast("dict[str, Any]", value).values()))
    return sum(map(_text_bytes, cast("list[Any]", value))) if isinstance(value, list) else 0


def rollouts_under(folders: Iterable[Path], versions: Sequence[str] = ()) -> list[Path]:
    """Rollouts of those versions, of all when none is named."""
    found = sorted(path for folder in folders for path in folder.rglob("rollout-*.jsonl"))
    return [path for path in found if not versions or _version(path) in versions]


def _version(path: Path) -> str:
    with path.open("rb") as lines:
        return json.loads(lines.readline()).get("payload", {}).get("cli_version", "")


def print_beside(measure: Measure, fit: Fit) -> None:
    """What was generated beside the corpus, each kind within its section."""
    print(f"{'':44}{'lines/turn':>14}{'byte share %':>16}{'line length: shortest median longest':>44}")
    print(f"{'kind':44}{'corpus':>7}{'ours':>7}{'corpus':>9}{'ours':>7}{'corpus':>22}{'ours':>22}")
    print(f"-- all: mean line corpus {fit.mean_line:.0f}, ours {measure.mean_line():.0f} bytes; text share", end=" ")
    print(f"corpus {fit.text_share[ALL]:.1%}, ours {measure.text_share(*_SECTIONS):.1%}")
    for section in _SECTIONS:
        share = measure.bytes(section) / measure.bytes(*_SECTIONS)
        print(f"-- {section}: {share:.1%} of our bytes; text share corpus {fit.text_share.get(section, 0):.1%}", end="")
        print(f", ours {measure.text_share(section):.1%}")
        kinds = {kind for where, kind in (*fit.corpus, *measure.lengths) if where == section}
        rows = [(kind, fit.corpus.get((section, kind)), measure.row(section, kind)) for kind in kinds]
        for kind, real, ours in sorted(rows, key=lambda row: -(row[1] or row[2] or (0, 0))[1]):
            one, two = _cells(real), _cells(ours)
            print(f"{kind:44}{one[0]:>7}{two[0]:>7}{one[1]:>9}{two[1]:>7}{one[2]:>22}{two[2]:>22}")


def _cells(row: Row | None) -> tuple[str, str, str]:
    if row is None:
        return "-", "-", "-"
    return f"{row[0]:.2f}", f"{row[1] * 100:.2f}", f"{row[2]} {row[3]} {row[4]}"


def _quantiles(sizes: list[int]) -> tuple[int, ...]:
    ordered = sorted(sizes)
    return tuple(ordered[round(point / 100 * (len(ordered) - 1))] for point in _POINTS)


def main() -> None:
    """Print what FIT holds, for these rollouts."""
    parser = argparse.ArgumentParser(description="Measure rollouts.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--versions", nargs="*", default=["0.155.1", "0.160.0", "0.165.0", "0.169.0"])
    given = parser.parse_args()
    measure = Measure()
    for path in rollouts_under(given.folders, given.versions):
        measure.add(path)
    print(f"# {measure.files} files, {dict(measure.turns)}, {measure.bytes(*_SECTIONS)} bytes")
    print("text =", {name: _quantiles(sizes) for name, sizes in measure.texts.items()})
    shares = {section: round(measure.text_share(section), 3) for section in _SECTIONS}
    print("mean_line =", round(measure.mean_line()))
    print("text_share =", shares | {ALL: round(measure.text_share(*_SECTIONS), 3)})
    print("corpus = {")
    for section in _SECTIONS:
        for where, kind in sorted(measure.lengths):
            if where == section and (row := measure.row(where, kind)):
                print(f'    ("{where}", "{kind}"): ({row[0]:.2f}, {row[1]:.4f}, {row[2]}, {row[3]}, {row[4]}),')
    print("}")


if __name__ == "__main__":
    main()
