"""Compressed session files: whole, cut, scratched, beside their plain form, and made to hurt."""

import io
import struct
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.rollouts.discovery import files_of_thread, find_rollout, find_rollouts
from armarius.rollouts.opening import open_rollout
from armarius.rollouts.reader import read_rollout

DATA = Path(__file__).parents[1] / "data"
THREAD = "01a1f8e7-5664-7ec1-aacb-977c3b58dfb6"
NAME = f"rollout-2026-11-20T12-00-00-{THREAD}.jsonl"
PLAIN = (DATA / "rollouts" / "0.36-command.jsonl").read_bytes()


def packed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def streamed(data: bytes) -> bytes:
    """As a writer that does not know the size at the beginning leaves it."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as writer:
        for start in range(0, len(data), 1_000):
            writer.write(data[start : start + 1_000])
            writer.flush()
    return out.getvalue()


def content(path: Path) -> tuple[bytes, str | None]:
    """What can be read, and what is said when it stops."""
    pieces = list[bytes]()
    try:
        with open_rollout(path) as stream:
            while piece := stream.read(1 << 16):
                pieces.append(piece)
    except OSError as error:
        return b"".join(pieces), error.strerror
    return b"".join(pieces), None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(packed(PLAIN), id="at once"),
        pytest.param(streamed(PLAIN), id="in pieces"),
        pytest.param(packed(PLAIN[:500]) + packed(PLAIN[500:]), id="two frames"),
        pytest.param(struct.pack("<II", 0x184D2A53, 3) + b"abc" + packed(PLAIN), id="after a skippable frame"),
    ],
)
def test_what_was_compressed_comes_out(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / f"{NAME}.zst"
    path.write_bytes(data)

    assert content(path) == (PLAIN, None)
    assert read_rollout(path).bad_lines == ()


@pytest.mark.parametrize("data", [packed(PLAIN), streamed(PLAIN)], ids=["at once", "in pieces"])
def test_a_cut_file_gives_its_beginning_and_says_that_it_was_cut(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / f"{NAME}.zst"
    for size in (*range(1, 40), *range(40, len(data), 7)):
        path.write_bytes(data[:size])

        beginning, problem = content(path)

        assert PLAIN.startswith(beginning)
        assert problem is not None
        [*_, last] = read_rollout(path).bad_lines
        assert last.reason == f"reading stopped: {problem}"


@settings(max_examples=200)
@given(at=st.integers(0, len(packed(PLAIN)) - 1), byte=st.integers(0, 255))
def test_a_scratched_file_is_said_to_be_damaged(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    data = bytearray(packed(PLAIN))
    is_same = data[at] == byte
    data[at] = byte
    path = tmp_path_factory.getbasetemp() / f"{NAME}.zst"
    path.write_bytes(data)

    found, problem = content(path)

    assert (found == PLAIN and problem is None) or (problem is not None and not is_same)
    assert bool(read_rollout(path).bad_lines) == (problem is not None)


@pytest.mark.parametrize(
    "data", [b"", b"not compressed at all\n", b"\x28\xb5\x2f\xfd"], ids=["empty", "plain", "magic"]
)
def test_no_content_raises(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / f"{NAME}.zst"
    path.write_bytes(data)

    assert read_rollout(path).turns == ()
    assert len(read_rollout(path).bad_lines) == bool(data)


def test_a_small_file_that_unpacks_to_a_quarter_of_a_gigabyte_costs_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.zst"
    compressor = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        for _ in range(256):
            file.write(compressor.compress(bytes(1 << 20)))
        file.write(compressor.flush())
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        thread = read_rollout(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    [bad] = thread.bad_lines
    assert "far more than any session" in bad.reason
    assert peak < 32 << 20


def test_a_small_file_that_unpacks_without_end_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.zst"
    compressor = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        for _ in range(80):
            file.write(compressor.compress(bytes(1 << 20)))
        file.write(compressor.flush())

    data, trouble = content(path)

    assert trouble
    assert "far more than any session" in trouble
    assert len(data) < 65 << 20


def test_a_file_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.zst"
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    out = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(out, closefd=False) as writer:
        writer.write(PLAIN)
    path.write_bytes(out.getvalue())

    [bad] = read_rollout(path).bad_lines

    assert "too much memory" in bad.reason


def home_with(folder: Path, *names: str) -> Path:
    day = folder / "sessions" / "2026" / "11" / "20"
    day.mkdir(parents=True)
    for name in names:
        (day / name).write_bytes(packed(PLAIN) if name.endswith(".zst") else PLAIN)
    return folder


def test_the_plain_form_counts_where_both_are_there(tmp_path: Path) -> None:
    home = home_with(tmp_path, NAME, f"{NAME}.zst")
    [file] = find_rollouts(home)
    file.path.write_bytes(PLAIN + b"\n")

    assert (file.path.name, file.is_compressed) == (NAME, False)
    assert find_rollout(home, THREAD) == file.path
    assert content(file.path.with_name(f"{NAME}.zst")) == content(file.path) == (PLAIN + b"\n", None)


def test_a_compressed_file_is_found_by_its_thread_and_by_its_plain_name(tmp_path: Path) -> None:
    home = home_with(tmp_path, f"{NAME}.zst")

    found = find_rollout(home, THREAD)

    assert found is not None
    assert found.name == f"{NAME}.zst"
    assert content(found.with_suffix("")) == (PLAIN, None)
    assert read_rollout(found.with_suffix("")).turns == read_rollout(found.with_suffix("")).turns != ()


def test_all_files_of_a_thread_are_found_the_oldest_first(tmp_path: Path) -> None:
    later = NAME.replace("T12-00-00", "T13-00-00")
    home = home_with(tmp_path, f"{NAME}.zst", later, f"{later}.zst")

    assert [path.name for path in files_of_thread(home, THREAD)] == [f"{NAME}.zst", later]
    assert find_rollout(home, THREAD) == files_of_thread(home, THREAD)[-1]
    assert files_of_thread(home, "*") == []
