"""How often the gate adopts, on agents whose truth is known.

Owns the rows and the goals. Does not own the worlds (`gate/worlds.py`), the thirty nights (`gate/nights.py`), nor the
gate: the real one is driven, pair by pair, in the order of the real schedule, and stopped when it has decided.
Invariant: the same seed gives the same table.

The score offered to the gate is by default `mixed`, half "all passed" (`hard`) and half the share passed (`soft`): it
still asks for whole success, and by telling near from far has half the variance, so the goals are set for it.

    python benchmarks/gatebench.py [--trials N] [--seed S] [--score mixed|hard|soft] [--skillopt FOLDER]

The column `skillopt` is the gate of SkillOpt-Sleep on the same draws: adopt when the mean over one replay of each
task is better than before. FOLDER is where the package lies; by default where `make bench-sleep` puts it. Its own
function decides; where it is not installed the rule is restated, and the second line says so.

Of thirty nights ours is shown in three ways. `beside` is what `armarius sleep run` does, by the same code
(`armarius.gate.rounds`), and for this the goals are set: a new candidate every night, a round for it and for each that
is undecided. `at once` gives a candidate all its rounds in the night in which it is proposed; `in turn` proposes
nothing while one is undecided.
"""

import argparse
import itertools
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gate.nights import MIXES, NIGHTS, difference, months, summary_of
from gate.peer import Peer, peer_from
from gate.worlds import SCORES, SPREADS, Edit, world

from armarius.gate.custody import replays, schedule
from armarius.gate.decision import DEFAULT, Answer, Gate

ALL = (5, 10, 20, 50)
_PEERS = Path(__file__).parents[1] / ".make" / "peers-sleep"


class Row(NamedTuple):
    """An edit to be judged, and the goals: how often it may be adopted, must be (by tasks), may cost."""

    name: str
    edit: Edit
    sizes: tuple[int, ...] = ALL
    at_most: float | None = None
    at_least: tuple[int, float] | None = None
    replays: float | None = None


ROWS = (
    Row("inert", Edit(0.0, spread=0.0), at_most=0.05, replays=60),
    Row("zero-mean", Edit(0.0), at_most=0.06, replays=60),
    Row("-10 points", Edit(-0.10), at_most=0.02),
    Row("-5 points", Edit(-0.05), at_most=0.02),
    Row("+10 points", Edit(0.10)),
    Row("+20 points", Edit(0.20), at_least=(10, 0.72)),
    Row("+40 points", Edit(0.40), at_least=(10, 0.99)),
    Row("mended", Edit(None), sizes=(3, 5, 10), at_least=(5, 0.98)),
)


class Outcome(NamedTuple):
    """What a row measured, as shares and means over its trials."""

    adopted: float
    adopted_by_peer: float
    replays: float


class Setting(NamedTuple):
    """What all rows have in common."""

    score: str
    trials: int
    seed: int
    peer: Peer


def measure(row: Row, size: int, agent_spread: float, setting: Setting) -> Outcome:
    tasks = frozenset(f"task-{k}" for k in range(size))
    slots = [
        slot
        for night in range(1, DEFAULT.most_nights + 1)
        for slot in schedule("gatebench", tasks, night, shown=frozenset())
    ]
    chance = random.Random(f"{setting.seed} {row.name} {size} {agent_spread}")  # noqa: S311 - a simulation, no secret
    adopted = by_peer = paid = 0
    for _ in range(setting.trials):
        coming = replays(slots, world(chance, row.edit, agent_spread, setting.score))
        gate, before, after = Gate(), list[float](), list[float]()
        for count, pair in enumerate(coming, start=1):
            is_over = gate.decided or pair.night > gate.nights
            if not is_over:
                gate.offer(pair)
                paid += 2
            if count <= size:
                before.append(pair.baseline or 0.0)
                after.append(pair.candidate or 0.0)
            elif is_over:
                break
        adopted += gate.decision(nights_over=DEFAULT.most_nights).answer is Answer.ADOPT
        by_peer += setting.peer.adopts(before, after)
    return Outcome(adopted / setting.trials, by_peer / setting.trials, paid / setting.trials)


def goals(row: Row, size: int, outcome: Outcome) -> Iterator[tuple[str, bool]]:
    """Each goal of a row as it reads, and whether it is met."""
    if row.at_most is not None:
        yield f"adopted <= {row.at_most}", outcome.adopted <= row.at_most
    if row.at_least is not None and row.at_least[0] == size:
        yield f"adopted >= {row.at_least[1]}", outcome.adopted >= row.at_least[1]
    if row.replays is not None:
        yield f"replays <= {row.replays}", outcome.replays <= row.replays


def one_candidate(setting: Setting) -> int:
    """The table of single edits; how many goals were missed."""
    print(f"{'agent':8}{'edit':12}{'tasks':>6}{'adopted':>9}{'skillopt':>9}{'replays':>9}  goal")
    missed = 0
    for agent, agent_spread in SPREADS.items():
        for row, size in ((one, size) for one in ROWS for size in one.sizes):
            outcome = measure(row, size, agent_spread, setting)
            wanted = list(goals(row, size, outcome))
            missed += sum(not met for _, met in wanted)
            remark = ", ".join(goal if met else f"{goal} MISSED" for goal, met in wanted)
            figures = f"{outcome.adopted:9.3f}{outcome.adopted_by_peer:9.3f}{outcome.replays:9.1f}"
            print(f"{agent:8}{row.name:12}{size:6}{figures}  {remark}")
    return missed


def thirty_nights(setting: Setting, users: int, size: int = 10) -> int:
    """The table of months; how many goals were missed."""
    print(f"\n{NIGHTS} nights with {size} held-out tasks, {users} users a row; gains in points of success")
    columns = f"{'gain':>7}{'worst 5%':>9}{'lost':>6}{'useless':>8}{'harmful':>8}{'useful':>7}{'replays':>8}"
    print(f"{'agent':8}{'mix':11}{'gate':9}{columns}  more than skillopt")
    missed = 0
    for agent, name in itertools.product(SPREADS, MIXES):
        found = months(
            name,
            agent_spread=SPREADS[agent],
            size=size,
            score=setting.score,
            trials=users,
            seed=setting.seed,
            peer=setting.peer,
        )
        for gate, users_of in found.items():
            was, (more, error) = summary_of(users_of), difference(users_of, found["skillopt"])
            remark = "" if gate == "skillopt" else f"{more * 100:+.1f} +- {error * 100:.1f}"
            if gate == "beside" and MIXES[name].goal:
                missed += more <= 0
                remark += ", goal > 0" + (" MISSED" if more <= 0 else "")
            figures = f"{was.gain * 100:+7.1f}{was.worst * 100:+9.1f}{was.worse:6.2f}{was.false - was.harmful:8.2f}"
            figures += f"{was.harmful:8.2f}{was.true:7.2f}{was.replays_a_night:8.1f}"
            print(f"{agent:8}{name:11}{gate:9}{figures}  {remark}")
    return missed


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description="How often the gate adopts, on agents whose truth is known.")
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--users", type=int, help="of the thirty nights  [default: half of the trials]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--score", choices=sorted(SCORES), default="mixed")
    parser.add_argument("--skillopt", type=Path, metavar="FOLDER", help="where SkillOpt is installed")
    args = parser.parse_args(argv)
    began = time.perf_counter()
    folder = args.skillopt or next((one.parents[1] for one in _PEERS.rglob("skillopt_sleep/gate.py")), None)
    setting = Setting(args.score, args.trials, args.seed, peer_from(folder, args.score))
    print(f"{args.trials} trials a row, seed {args.seed}, {args.score} scores; adopted: share of trials")
    print(f"skillopt: {setting.peer.name}")
    missed = one_candidate(setting)
    missed += thirty_nights(setting, args.users or max(1, args.trials // 2))
    print(f"{missed} goals missed; {time.perf_counter() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
