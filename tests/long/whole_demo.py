"""The demonstration on every skill of the benchmark."""

from pathlib import Path

from support.terminal import Terminal


def test_every_skill_of_the_benchmark_is_mended(tmp_path: Path, private_home: dict[str, str]) -> None:
    done = Terminal(tmp_path, private_home).type("demo", "--all", "--json")
    assert done.code == 0, done.err
