"""The benchmark of reading sessions: it measures right totals only, and says when they are not."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "benchmarks" / "sessions" / "bench.py"
SMALL = ("--seed", "2", "--files", "5", "--megabytes", "0.6")


def measured(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A small run by ourselves, without a network."""
    folder.mkdir(exist_ok=True)
    argv = [sys.executable, str(BENCH), *SMALL, "--rounds", "1", "--alone", "--keep", str(folder), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_our_totals_and_those_of_the_standard_library_are_the_true_ones(tmp_path: Path) -> None:
    ran = measured(tmp_path / "kept", "--only", "scan", "sync", "state")
    assert "armarius scan: files, responses, user_messages, agent_messages, unknown, bad_lines, turns" in ran.stdout
    assert (
        "standard library json: files, turns, commands, tokens, user_messages, agent_messages are right" in ran.stdout
    )
    assert "WRONG TOTAL" not in ran.stdout
    for said in ("nothing new", "one line more in a file of", "state of all 5", "index, share of its source"):
        assert said in ran.stdout
    assert ran.returncode == int("MISSED" in ran.stdout)


def test_the_data_is_as_it_was_after_lines_were_appended_to_it(tmp_path: Path) -> None:
    def state() -> dict[str, tuple[bytes, int]]:
        files = (tmp_path / "kept" / "bench-sessions").rglob("rollout-*.jsonl")
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    measured(tmp_path / "kept", "--only", "scan")
    before = state()
    assert len(before) == 5
    measured(tmp_path / "kept", "--only", "sync")
    assert state() == before


def test_a_wrong_total_fails_the_run_whatever_it_cost(tmp_path: Path) -> None:
    measured(tmp_path / "kept", "--only", "scan")
    [truth] = (tmp_path / "kept").rglob("truth.json")
    said = json.loads(truth.read_text())
    said["totals"]["tokens"]["reasoning"] += 1
    truth.write_text(json.dumps(said))
    ran = measured(tmp_path / "kept", "--only", "scan")
    assert ran.returncode == 1
    assert "WRONG TOTAL: armarius scan: tokens" in ran.stdout
