"""The promise of `tests/conftest.py`: no test sees whoever runs it."""

import os
from pathlib import Path


def test_home_and_every_place_of_ours_lie_in_the_tests_own_folder(tmp_path: Path) -> None:
    ours = {name: value for name, value in os.environ.items() if name.startswith(("ARMARIUS_", "CODEX_", "XDG_"))}
    assert {"ARMARIUS_HOME", "CODEX_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"} <= ours.keys()
    assert [name for name, value in ours.items() if not Path(value).is_relative_to(tmp_path)] == []
    assert Path.home().is_relative_to(tmp_path)
    assert [name for name in os.environ if name.startswith("OPENAI_")] == []


def test_the_environment_for_a_subprocess_names_the_same_home(private_home: dict[str, str]) -> None:
    assert private_home["HOME"] == os.environ["HOME"]
    assert private_home["CODEX_HOME"] == os.environ["CODEX_HOME"]
    assert Path(private_home["CODEX_HOME"]).is_dir()
