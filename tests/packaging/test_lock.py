"""requirements.lock: whole, hashed, and without the name of any host."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
ENTRIES = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", LOCK)).splitlines()

ASKED = [
    *PROJECT["project"]["dependencies"],
    *(one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra),
    *PROJECT["dependency-groups"]["dev"],
    *PROJECT["build-system"]["requires"],
]


def locked() -> dict[str, str]:
    pins = [Requirement(entry.split(" --hash=")[0]) for entry in ENTRIES]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def test_the_lock_names_no_host() -> None:
    assert re.findall(r"\S*(?:://|--index|--find-links|--trusted-host| @ )\S*", LOCK) == []


def test_every_entry_is_one_version_with_hashes() -> None:
    entry = re.compile(r"[\w.-]+==[\w.!+]+( ; [^-]+?)?( --hash=sha256:[0-9a-f]{64})+")
    assert [line for line in ENTRIES if not entry.fullmatch(line)] == []
    assert len(locked()) == len(ENTRIES)


@pytest.mark.parametrize("asked", ASKED)
def test_what_the_project_asks_for_is_locked_at_a_version_it_accepts(asked: str) -> None:
    wanted = Requirement(asked)
    assert wanted.specifier.contains(locked()[canonicalize_name(wanted.name)])


def test_a_lock_that_would_name_hosts_is_never_committed() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()
