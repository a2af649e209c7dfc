"""Our reading of sessions beside that of others, in one run, against the goals.

Owns the order of things, the comparison of every total with the truth, the goals and the tables. Does
not own what is measured (`ours`, `others`, `peers`), the data (`generate`), nor the cost of a process.
Invariant: contestants take turns, so that a machine that slows down slows all; everybody reads the
same files from a warm page cache. A total of ours that is wrong fails the run whatever it cost; a
goal that is missed says by how much.

    python benchmarks/sessions/bench.py [--seed 1] [--files 500] [--megabytes 500] [--rounds 5]

Times of ours, of DuckDB and of the standard library are taken in the process after import, with the
whole process beside them; ccusage and agentsview are programs and are taken whole.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from cost import Cost, Row, cost_of, take_turns
from generate import generate
from peers import Peer, Program, fetched

__all__ = ["main"]

_HERE: Final = Path(__file__).parent
_CHECKOUT: Final = _HERE.parents[1]
_LINE: Final = (
    b'{"timestamp":"2026-11-20T12:00:00.000Z",%s"type":"event_msg","payload":{"type":"token_count","info":null}}\n'
)
_PEAK_MB: Final = 64
_STATE_S: Final = 0.15
_STATE_MB: Final = 40
_NOTHING_S: Final = 0.030
_SHARE: Final = 0.15
_SLOW_ROUNDS: Final = 2


@dataclass
class Verdicts:
    """What was promised, what was measured, and what was wrong."""

    lines: list[str] = field(default_factory=list[str])
    missed: int = 0
    wrong: list[str] = field(default_factory=list[str])

    def at_least(self, what: str, value: float, goal: float, *, stretch: float | None = None) -> None:
        off = "" if value >= goal else f"   MISSED: {value / goal:.2f} of it"
        more = (
            "" if stretch is None else f" (stretch {stretch:g} x: {'reached' if value >= stretch else 'not reached'})"
        )
        self._say(f"{what:56}{value:9.2f} x    goal ≥ {goal:g} x{more}{off}", is_missed=bool(off))

    def at_most(self, what: str, value: float, goal: float, unit: str) -> None:
        off = "" if value <= goal else f"   MISSED: {value / goal:.2f} times it"
        self._say(f"{what:56}{value:9.2f} {unit:3} goal ≤ {goal:g} {unit}{off}", is_missed=bool(off))

    def compare(self, who: str, found: dict[str, Any], truth: dict[str, Any]) -> None:
        """Every total that is in both; `wrong` is for ours, others are only told of."""
        differing = {
            name: (value, truth[name]) for name, value in found.items() if name in truth and value != truth[name]
        }
        if not differing:
            print(f"   {who}: {', '.join(name for name in found if name in truth)} are right")
            return
        for name, (value, right) in differing.items():
            print(f"   {who}: {name} is {json.dumps(value)}, and the truth {json.dumps(right)}")
        if who.startswith("armarius"):
            self.wrong += [f"{who}: {name}" for name in differing]

    def _say(self, line: str, *, is_missed: bool) -> None:
        self.missed += is_missed
        self.lines.append(line)


@dataclass(frozen=True)
class Setting:
    """One run: the data, what is true of it, and where to leave things."""

    home: Path
    truth: dict[str, Any]
    scratch: Path
    rounds: int
    verdicts: Verdicts

    @property
    def megabytes(self) -> float:
        return self.truth["bytes"] / 1e6

    def environ(self, armarius_home: Path | None = None) -> dict[str, str]:
        kept = armarius_home or self.scratch / "state"
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch),
            "CODEX_HOME": str(self.home),
            "ARMARIUS_HOME": str(kept),
        }

    def ours(self, job: str, armarius_home: Path | None = None) -> Cost:
        kept = armarius_home or self.scratch / "state"
        argv = [sys.executable, str(_HERE / "ours.py"), job, str(self.home), str(kept)]
        return cost_of(argv, self.environ(kept), says_cost=True)

    def command(self, *words: str, armarius_home: Path | None = None) -> Cost:
        """A whole command of ours, as a person starts it."""
        return cost_of([sys.executable, "-m", "armarius", *words], self.environ(armarius_home))

    def fresh(self, name: str) -> Path:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def bench_scan(setting: Setting, peers: list[Peer]) -> None:
    """From files alone to all totals."""
    rows = [Row("armarius scan", lambda: setting.ours("scan"))]
    asked = [(peer, peer.program(setting.home, setting.fresh(peer.name))) for peer in peers if not _syncs(peer)]
    rows += [Row(f"{peer.name} {peer.version}", _turn(program)) for peer, program in asked]
    argv = [sys.executable, str(_HERE / "others.py"), "json", str(setting.home)]
    rows.append(Row("standard library json", lambda: cost_of(argv, setting.environ(), says_cost=True)))
    take_turns(rows, setting.rounds)
    _print_rows(f"cold scan to all totals, {setting.megabytes:.0f} MB", rows, setting.megabytes)
    own, verdicts = rows[0], setting.verdicts
    goals = {"ccusage codex": (1.5, 2.0), "DuckDB typed": (4.0, None), "standard library json": (5.0, None)}
    for row in rows[1:]:
        ratio = median(theirs / ours for ours, theirs in zip(own.cpu(), row.cpu(), strict=True))
        name = row.name.rpartition(" ")[0] if row.name[-1].isdigit() else row.name
        goal, stretch = goals.get(name, (0, None))
        if goal:
            verdicts.at_least(f"scan, MB per CPU-second beside {name}", ratio, goal, stretch=stretch)
        else:
            verdicts.lines.append(f"{f'scan, MB per CPU-second beside {name}':56}{ratio:9.2f} x    no goal")
    verdicts.at_most("scan, peak memory of the process", own.peak_mb(), _PEAK_MB, "MB")
    print()
    verdicts.compare("armarius scan", own.costs[-1].inner["totals"], setting.truth)
    for (peer, program), row in zip(asked, rows[1:], strict=False):
        verdicts.compare(peer.name, program.totals(row.costs[-1].printed), setting.truth)
    verdicts.compare("standard library json", rows[-1].costs[-1].inner["totals"], setting.truth)


def bench_sync(setting: Setting, peers: list[Peer]) -> None:
    """From files alone to an index that can be searched."""
    rows = [Row("armarius sync", lambda: setting.ours("sync", setting.fresh("state")))]
    rows += [
        Row(f"{peer.name} {peer.version}", lambda peer=peer: _peer_turn(setting, peer))
        for peer in filter(_syncs, peers)
    ]
    take_turns(rows, min(setting.rounds, _SLOW_ROUNDS))
    _print_rows(f"cold sync with search index, {setting.megabytes:.0f} MB", rows, setting.megabytes)
    whole = setting.command("sessions", "sync", "--json", armarius_home=setting.fresh("whole"))
    print(f"   whole command `armarius sessions sync`: {whole.wall_s:.2f} s wall, {whole.peak_mb:.0f} MB")
    verdicts, own = setting.verdicts, rows[0]
    for row in rows[1:]:
        ratio = median(theirs / ours for ours, theirs in zip(own.wall(), row.wall(), strict=True))
        verdicts.at_least(f"cold sync, wall beside {row.name}", ratio, 10)
    size = sum(path.stat().st_size for path in (setting.scratch / "state").iterdir())
    verdicts.at_most("index, share of its source", 100 * size / setting.truth["bytes"], 100 * _SHARE, "%")
    verdicts.at_most("cold sync, peak memory of the process", own.peak_mb(), _PEAK_MB, "MB")


def bench_again(setting: Setting) -> None:
    """With nothing new, and with one line more in a file of 1 MB and in the longest."""
    files = sorted(setting.home.rglob("rollout-*.jsonl"), key=lambda path: path.stat().st_size)
    rows = [Row("nothing new", lambda: setting.ours("sync"))]
    megabyte = min(files, key=lambda path: abs(path.stat().st_size - 1_000_000))
    for path in (megabyte, files[-1]):
        label = f"one line more in a file of {path.stat().st_size / 1e6:.2f} MB"
        rows.append(Row(label, lambda path=path: _after_a_line(setting, path)))
    take_turns(rows, setting.rounds)
    print("\nsync again" + " " * 50 + "CPU ms  wall ms  bytes read  (medians, in process)")
    for row in rows:
        read = median(cost.inner["read_bytes"] for cost in row.costs)
        print(f"   {row.name:54}{1e3 * median(row.cpu()):9.1f}{1e3 * median(row.wall()):9.1f}{read:12,.0f}")
    whole = setting.command("sessions", "sync", "--json")
    print(f"   whole command `armarius sessions sync`: {whole.wall_s:.2f} s wall, {whole.cpu_s:.2f} s CPU")
    verdicts = setting.verdicts
    verdicts.at_most("sync with nothing new, CPU", 1e3 * median(rows[0].cpu()), 1e3 * _NOTHING_S, "ms")
    short, long = (median(cost.inner["read_bytes"] for cost in row.costs) for row in rows[1:])
    verdicts.at_most("bytes read for a line in the longest file, not that of 1 MB", (long - short) / 1e3, 64, "kB")
    short, long = (median(row.cpu()) for row in rows[1:])
    verdicts.at_most("CPU for a line in the longest file, beside that of 1 MB", long / short, 1.25, "x")


def bench_state(setting: Setting) -> None:
    """What all threads are doing."""
    row = Row("state of all", lambda: setting.ours("state"))
    take_turns([row], setting.rounds)
    whole = setting.command("sessions", "list", "--json")
    said = row.costs[-1].inner["totals"]
    print(
        f"\nstate of all {said['files']}: {1e3 * min(row.wall()):.0f} / {1e3 * median(row.wall()):.0f} ms wall", end=""
    )
    print(f" (least / median, in process), {row.peak_mb():.0f} MB: {json.dumps(said['states'])}")
    print(f"   whole command `armarius sessions list`: {whole.wall_s:.2f} s wall, {whole.peak_mb:.0f} MB")
    setting.verdicts.at_most("state of all, wall", median(row.wall()), _STATE_S, "s")
    setting.verdicts.at_most("state of all, peak memory of the process", row.peak_mb(), _STATE_MB, "MB")
    if said["files"] != setting.truth["files"]:
        setting.verdicts.wrong.append("armarius state: files")


def bench_watch(setting: Setting) -> None:
    """How soon a line becomes a signal; that program has its own goals and says how it stands."""
    program = _CHECKOUT / "benchmarks" / "watch_latency.py"
    print()
    sys.stdout.flush()
    ran = subprocess.run([sys.executable, str(program)], env=setting.environ(), stdin=subprocess.DEVNULL, check=False)
    setting.verdicts.lines.append(f"{'watch: see above':56}{'':13}{'MISSED' if ran.returncode else 'goals reached'}")
    setting.verdicts.missed += ran.returncode != 0


def _turn(program: Program) -> Callable[[], Cost]:
    says_cost = any("others.py" in word for word in program.argv)
    return lambda: cost_of(program.argv, program.environ, says_cost=says_cost)


def _peer_turn(setting: Setting, peer: Peer) -> Cost:
    program = peer.program(setting.home, setting.fresh(peer.name))
    return cost_of(program.argv, program.environ)


def _syncs(peer: Peer) -> bool:
    return peer.name.startswith("agentsview")


def _after_a_line(setting: Setting, path: Path) -> Cost:
    with _one_line_more(path):
        cost = setting.ours("sync")
    setting.ours("sync")
    return cost


@contextmanager
def _one_line_more(path: Path) -> Generator[None]:
    """The file with another whole line; afterwards it is as it was, its time included."""
    was = path.stat()
    with path.open("rb") as stream:
        *_, last = stream
    ordinal = json.loads(last).get("ordinal")
    with path.open("ab") as stream:
        stream.write(_LINE % (b"" if ordinal is None else b'"ordinal":%d,' % (ordinal + 1)))
    try:
        yield
    finally:
        os.truncate(path, was.st_size)
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _print_rows(title: str, rows: list[Row], megabytes: float) -> None:
    head = f"{'CPU s':>14}{'wall s':>16}{'MB/CPU-s':>10}{'peak MB':>9}{'whole wall s':>14}{'whole CPU s':>13}"
    units = f"{'least median':>14}{'least median':>16}{'':>19}{'median':>14}{'median':>13}"
    print(f"\n{title}\n{'':44}{head}\n{'':44}{units}")
    for row in rows:
        cpu, wall = row.cpu(), row.wall()
        print(
            f"{row.name:44}{min(cpu):7.2f}{median(cpu):7.2f}{min(wall):9.2f}{median(wall):7.2f}"
            f"{megabytes / median(cpu):10.0f}{row.peak_mb():9.0f}"
            f"{median(cost.wall_s for cost in row.costs):14.2f}{median(cost.cpu_s for cost in row.costs):13.2f}"
        )


def _data(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The truth of the data, which is made when it is not there yet."""
    if not (folder / "truth.json").exists():
        print(f"making {given.files} rollouts, {given.megabytes:g} MB, seed {given.seed}")
        shutil.rmtree(folder, ignore_errors=True)
        generate(folder, seed=given.seed, files=given.files, megabytes=given.megabytes, long_texts=given.long_texts)
    said = json.loads((folder / "truth.json").read_text())
    last = Counter(thread["last_turn"] for thread in said["threads"])
    return said["totals"] | {"last_turn": dict(sorted(last.items())), "unknown": 0, "bad_lines": 0}


def main() -> int:
    """Print the tables; 1 when a total is wrong or a goal missed."""
    parser = argparse.ArgumentParser(description="Our reading of sessions beside that of others.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--long-texts", type=float, default=0, help="see generate.py")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=("scan", "sync", "state", "watch"), help="these parts alone")
    parser.add_argument("--alone", action="store_true", help="without the programs of others, which are fetched once")
    parser.add_argument("--keep", type=Path, default=_CHECKOUT / ".make", help="where data and peers are kept")
    given = parser.parse_args()
    name = f"{given.seed}-{given.files}-{given.megabytes:g}-{given.long_texts:g}"
    home = given.keep.absolute() / "bench-sessions" / name
    truth = _data(home, given)
    peers, missing = ([], []) if given.alone else fetched(given.keep.absolute() / "peers")
    parts = given.only or ("scan", "sync", "state", "watch")
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory(dir=given.keep) as scratch:
        setting = Setting(home, truth, Path(scratch), given.rounds, verdicts)
        if "scan" in parts:
            bench_scan(setting, peers)
        if "sync" in parts:
            bench_sync(setting, peers)
            bench_again(setting)
        if "state" in parts:
            setting.ours("sync")
            bench_state(setting)
        if "watch" in parts:
            bench_watch(setting)
    print("\n" + "\n".join([*verdicts.lines, *(f"not measured: {line}" for line in missing)]))
    for line in verdicts.wrong:
        print(f"WRONG TOTAL: {line}")
    return 1 if verdicts.wrong or verdicts.missed else 0


if __name__ == "__main__":
    sys.exit(main())
