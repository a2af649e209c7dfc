"""Bytes on their way to the disk: all of them, in their order, wherever the file lies."""

import os
import tempfile
from mmap import mmap
from pathlib import Path

import pytest

from armarius.audit.spool import PIECE, spool

MEMORY = Path("/dev/shm")


def nobody_looks(piece: mmap, size: int) -> None:
    del piece, size


@pytest.mark.parametrize("where", ["disk", "memory"])
@pytest.mark.parametrize("size", [0, 1, 4_096, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 4_097])
def test_what_comes_is_shown_and_written_as_it_is(tmp_path: Path, where: str, size: int) -> None:
    if where == "memory" and not MEMORY.is_dir():
        pytest.skip("no file system in memory here")
    data = os.urandom(size)
    (source := tmp_path / "source").write_bytes(data)
    shown = list[bytes]()
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if where == "memory" else tmp_path) as folder,
        source.open("rb") as file,
    ):
        target = Path(folder) / "target"
        spool(file.fileno(), target, lambda piece, count: shown.append(piece[:count]))
        assert target.read_bytes() == b"".join(shown) == data
        assert target.stat().st_mode & 0o777 == 0o600


def test_a_pipe_that_gives_little_at_a_time_is_read_to_its_end(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    data = os.urandom(PIECE + 77)
    if os.fork() == 0:
        os.close(reader)
        for at in range(0, len(data), 10_001):
            os.write(writer, data[at : at + 10_001])
        os._exit(0)
    os.close(writer)
    spool(reader, tmp_path / "target", nobody_looks)
    os.close(reader)
    os.wait()
    assert (tmp_path / "target").read_bytes() == data


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"mine")
    with Path(os.devnull).open("rb") as file, pytest.raises(FileExistsError):
        spool(file.fileno(), tmp_path / "target", nobody_looks)
    assert (tmp_path / "target").read_bytes() == b"mine"
