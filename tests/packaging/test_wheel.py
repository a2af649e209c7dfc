"""What users install: the wheel, built the way a release is built, and used without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys\nfrom hatchling import build\nprint(getattr(build, sys.argv[1])(sys.argv[2]))"


def build(kind: str, checkout: Path, target: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, target], cwd=checkout, capture_output=True, text=True, check=True
    )
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_package_is_in_the_wheel_and_no_other(wheel: Path) -> None:
    source = ROOT / "src"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    assert {name for name in names(wheel) if ".dist-info/" not in name} == files
    assert "armarius/store/schema.sql" in files


def test_both_licences_travel_with_the_wheel(wheel: Path) -> None:
    licences = {name.partition("/licenses/")[2] for name in names(wheel) if "/licenses/" in name}
    assert licences == {"LICENSE", "src/armarius/testing/benchmarks/LICENSE"}


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path, private_home: dict[str, str]) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = (
        "import sys, armarius.store.ledger as ledger\n"
        "from armarius.clock import SystemClock\n"
        "ledger.open_ledger(sys.argv[1], SystemClock()).close()\n"
        "print(ledger.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "state" / "ledger.sqlite")],
        cwd=tmp_path,
        env=private_home | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(site)
    assert (tmp_path / "state" / "ledger.sqlite").exists()


def test_the_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    packed = build("build_sdist", ROOT, tmp_path)
    subprocess.run(["tar", "-xzf", packed, "-C", tmp_path], check=True)
    again = build("build_wheel", tmp_path / packed.name.removesuffix(".tar.gz"), tmp_path)
    assert names(again) == names(wheel)
