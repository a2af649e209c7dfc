"""Fetching the newest Codex: what is unpacked, and what is left when something goes wrong.

Archives made here stand for npm's; asking npm itself is what `make test` does before any test runs.
"""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.npm_codex import Unavailable, install, newest_binary

TRIPLE = "package/vendor/x86_64-unknown-linux-musl"
PROGRAM = f"{TRIPLE}/bin/codex"


def archive(path: Path, names: list[str], link: tuple[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(name), 0o755
            tar.addfile(member, io.BytesIO(name.encode()))
        if link is not None:
            member = tarfile.TarInfo(link[0])
            member.type, member.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(member)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    folder = tmp_path / "builds"
    folder.mkdir()
    return folder


def test_the_program_and_what_it_looks_for_are_unpacked_and_nothing_else(tmp_path: Path, builds: Path) -> None:
    wanted = ["bin/codex", "bin/codex-code-mode-host", "codex-package.json", "codex-path/rg", "codex-resources/bwrap"]
    names = [f"{TRIPLE}/{name}" for name in [*wanted, "codex-resources/voice/lib/libz.so.1", "extra/file"]]
    packed = archive(tmp_path / "codex.tgz", [*names, "package/README.md", "package/bin/codex.js"])
    install(builds, "1.2.3", lambda: packed)
    unpacked = builds / "1.2.3" / "vendor" / "x86_64-unknown-linux-musl"
    assert files(builds) == sorted(["newest", *(f"{unpacked.relative_to(builds)}/{name}" for name in wanted)])
    assert newest_binary(builds) == unpacked / "bin" / "codex"
    assert newest_binary(builds).stat().st_mode & 0o777 == 0o755


def test_a_build_that_is_there_is_not_packed_again(tmp_path: Path, builds: Path) -> None:
    packed = iter([archive(tmp_path / "one.tgz", [PROGRAM]), archive(tmp_path / "two.tgz", [PROGRAM])])
    for version in ("1.0.0", "2.0.0", "1.0.0"):
        install(builds, version, lambda: next(packed))
    assert newest_binary(builds).is_relative_to(builds / "1.0.0")


@pytest.mark.parametrize(
    ("names", "link"),
    [
        ([f"{TRIPLE}/bin/../../../../../../out", PROGRAM], None),
        ([PROGRAM, f"{TRIPLE}/codex-path/rg/out"], (f"{TRIPLE}/codex-path/rg", "../../../../..")),
        ([], (PROGRAM, "/bin/sh")),
        ([f"{TRIPLE}/codex-path/rg"], None),
        ([PROGRAM, "package/vendor/aarch64-unknown-linux-musl/bin/codex"], None),
    ],
    ids=["a path that leads outside", "a link that leads outside", "a program elsewhere", "no program", "two programs"],
)
def test_an_archive_that_is_not_as_expected_changes_nothing(
    tmp_path: Path, builds: Path, names: list[str], link: tuple[str, str] | None
) -> None:
    install(builds, "1.0.0", lambda: archive(tmp_path / "good.tgz", [PROGRAM]))
    before = files(tmp_path / "builds")
    packed = archive(tmp_path / "bad.tgz", names, link)
    with pytest.raises(Unavailable):
        install(builds, "2.0.0", lambda: packed)
    assert files(builds) == before
    assert files(tmp_path) == sorted([*(f"builds/{name}" for name in before), "bad.tgz", "good.tgz"])
    assert newest_binary(builds).is_relative_to(builds / "1.0.0")


@pytest.mark.parametrize(("kept", "added"), [(-40, b""), (20, b"?" * 40), (0, b"<html>")])
def test_a_damaged_archive_changes_nothing(tmp_path: Path, builds: Path, kept: int, added: bytes) -> None:
    packed = archive(tmp_path / "codex.tgz", [PROGRAM])
    packed.write_bytes(packed.read_bytes()[:kept] + added)
    with pytest.raises(Unavailable, match=r"codex\.tgz cannot be unpacked"):
        install(builds, "1.0.0", lambda: packed)
    assert files(builds) == []


def test_without_a_fetched_build_there_is_no_newest(builds: Path) -> None:
    with pytest.raises(Unavailable, match="newest does not exist"):
        newest_binary(builds)


def test_both_builds_of_codex_run_and_say_their_version(codex: Path, private_home: dict[str, str]) -> None:
    done = subprocess.run([codex, "--version"], env=private_home, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("codex-cli 0.")


def test_the_newest_build_is_newer_than_the_wheel(codex_wheel: Path, codex_newest: Path) -> None:
    def version(program: Path) -> tuple[int, ...]:
        done = subprocess.run([program, "--version"], env={}, capture_output=True, text=True, check=True)
        return tuple(int(word) for word in done.stdout.split()[-1].split("."))

    assert version(codex_newest) >= version(codex_wheel)
