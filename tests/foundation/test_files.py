"""Files that are there whole or not at all, reads that end, folders that are nobody else's."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import armarius
from armarius.errors import DataError, HostError
from armarius.files import file_kind, private_folder, read_bounded, write_atomic


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("data", [b"", b"new", bytes(range(256)) * 40_000])
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_a_file_is_replaced_whole_with_the_mode_asked_for(tmp_path: Path, data: bytes, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the old content, which is longer")
    os.umask(0o077)
    write_atomic(path, data, mode=mode)
    assert (path.read_bytes(), mode_of(path), names_in(tmp_path)) == (data, mode, ["file"])


def test_a_file_is_for_its_owner_alone_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", b"secret")
    assert mode_of(tmp_path / "file") == 0o600


WRITER = """
import sys
from pathlib import Path
from armarius.files import write_atomic
print("up", flush=True)
while True:
    for letter in (b"a", b"b"):
        write_atomic(Path(sys.argv[1]), letter * 300_000)
"""


def test_a_reader_sees_the_old_or_the_new_and_never_a_mixture_even_when_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"a" * 300_000)
    seen = set[bytes]()
    environ = {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=environ) as writer:
            try:
                assert writer.stdout
                assert writer.stdout.readline() == b"up\n"
                for _ in range(50):
                    data = path.read_bytes()
                    assert len(data) == 300_000
                    seen.add(bytes(set(data)))
            finally:
                writer.kill()
    assert seen <= {b"a", b"b"}


def test_what_is_no_file_keeps_its_place(tmp_path: Path) -> None:
    """An administrator who names `/dev/null` as an output still has it afterwards."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for place, kind in ((pipe, "pipe"), (link, "device")):
        with pytest.raises(DataError, match=f"is a {kind}"):
            write_atomic(place, b"x")
    assert (pipe.is_fifo(), link.is_symlink()) == (True, True)
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}


def test_a_link_is_replaced_and_what_it_led_to_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to("target")
    write_atomic(tmp_path / "link", b"new")
    assert ((tmp_path / "target").read_text(), (tmp_path / "link").read_bytes()) == ("mine", b"new")
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("place", "number"),
    [("folder", errno.EISDIR), ("gone/file", errno.ENOENT), ("file/below", errno.ENOTDIR)],
)
def test_a_place_that_takes_no_file_is_said_and_nothing_is_left_behind(tmp_path: Path, place: str, number: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r".") as caught:
        write_atomic(tmp_path / place, b"data")
    assert caught.value.errno == number
    assert names_in(tmp_path) == ["file", "folder"]


WRITE = """
import sys
from pathlib import Path
from armarius.errors import HostError
from armarius.files import write_atomic
try:
    write_atomic(Path(sys.argv[1]), b"four")
except HostError as error:
    print(error.code, error.message, error.hint, sep="|")
"""


def test_a_read_only_disk_is_named_with_the_way_out(tmp_path: Path, codex_wheel: Path) -> None:
    """Codex's own read-only sandbox is such a disk."""
    source = Path(armarius.__file__).parents[1]
    words = [codex_wheel, "sandbox", "--", "/usr/bin/env", f"PYTHONPATH={source}:{os.pathsep.join(sys.path)}"]
    environ = {"HOME": str(tmp_path), "CODEX_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    answer = subprocess.run(
        [*words, sys.executable, "-c", WRITE, "/var/file"],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    code, message, hint = answer.stdout.strip().split("|")
    assert (code, message) == ("disk", "file system is read-only: cannot write /var/file")
    assert "ARMARIUS_HOME" in hint


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_a_file_up_to_its_limit_is_read(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to("file")
    assert read_bounded(tmp_path / "link", 10) == b"x" * size


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def nothing(_: Path) -> None:
    pass


def large(path: Path) -> None:
    path.write_bytes(b"x" * 11)


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (nothing, "missing", "does not exist"),
        (dangling, "missing", "does not exist"),
        (Path.mkdir, "not-a-file", "is a directory"),
        (pipe, "not-a-file", "is a pipe"),
        (device, "not-a-file", "is a device"),
        (circle, "unreadable", "Too many levels of symbolic links"),
        (large, "too-large", "has 11 bytes, at most 10 are read"),
    ],
)
def test_a_read_ends_at_once_with_what_is_there(
    tmp_path: Path, make: Callable[[Path], object], code: str, said: str
) -> None:
    make(tmp_path / "it")
    with pytest.raises(DataError, match=said) as caught:
        read_bounded(tmp_path / "it", 10)
    assert (caught.value.code, caught.value.exit_code) == (code, 3)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["a\0b", "file/below", "x" * 300])
def test_a_path_that_cannot_be_is_a_bad_value_and_no_crash(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot read"):
        read_bounded(tmp_path / name, 10)


def test_a_file_without_a_size_is_bounded_all_the_same() -> None:
    assert b"PPid" in read_bounded(Path("/proc/self/status"), 1 << 20)
    with pytest.raises(DataError, match="at most 10"):
        read_bounded(Path("/proc/self/status"), 10)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (stat.S_IFREG, "file"),
        (stat.S_IFDIR, "directory"),
        (stat.S_IFLNK, "symbolic link"),
        (stat.S_IFIFO, "pipe"),
        (stat.S_IFSOCK, "socket"),
        (stat.S_IFCHR, "device"),
        (stat.S_IFBLK, "device"),
        (0, "special file"),
    ],
)
def test_every_kind_of_file_has_a_name(kind: int, name: str) -> None:
    assert file_kind(kind | 0o644) == name


def test_a_private_folder_is_private_with_everything_that_was_missing_above_it(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    made = private_folder(tmp_path / "there" / "a" / "b" / "c")
    assert made == tmp_path / "there" / "a" / "b" / "c"
    modes = [mode_of(folder) for folder in (made, *made.parents[:2], tmp_path / "there")]
    assert modes == [0o700, 0o700, 0o700, 0o755]


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    assert mode_of(private_folder(tmp_path / "open")) == 0o700
    assert private_folder(tmp_path / "open").is_dir()


def test_a_file_in_the_place_of_a_folder_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="file"):
            private_folder(path)


def test_a_disk_error_is_the_machines_fault() -> None:
    assert HostError("disk", "full").exit_code == 4
