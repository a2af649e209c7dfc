"""Every session file and stream that was recorded of sixteen versions of Codex, and what it says.

The table `data/corpus/expected.tsv` was not made by the reader: kinds of records were counted in the plain
JSON, tokens are the last running total or the sum of the records, and where such counting is blind (an
answer that a retry repeated, a hand-made old rollout) the numbers were found by eye. `-` is a command
whose exit code nobody wrote down, `0*3` three that ended with 0. Large files lie compressed, as Codex
compresses them.
"""

from pathlib import Path

import msgspec
import pytest

from armarius.rollouts.formats import classify, format_of, read_threads
from armarius.rollouts.opening import open_rollout
from armarius.rollouts.reader import RolloutReader, read_lines
from armarius.thread import AgentMessage, Command, Format, Thread, UserMessage

DATA = Path(__file__).parents[1] / "data" / "corpus"
TABLE = DATA / "expected.tsv"


class Row(msgspec.Struct, frozen=True):
    """What one file says of one thread."""

    thread: str
    format: str
    turns: str
    user: str
    agent: str
    exits: str
    input: str
    output: str


def table() -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for line in TABLE.read_text().splitlines()[1:]:
        file, *cells = line.split("\t")
        rows.setdefault(file, []).append(Row(*cells))
    return rows


ROWS = table()


def row_of(thread: Thread) -> Row:
    items = [item for turn in thread.turns for item in turn.items]
    exits = [item.exit_code for item in items if isinstance(item, Command)]
    return Row(
        "." if thread.id.startswith("exec-at-line-") else thread.id,
        thread.format.value,
        " ".join(turn.state.value for turn in thread.turns) or ".",
        str(sum(isinstance(item, UserMessage) for item in items)),
        str(sum(isinstance(item, AgentMessage) for item in items)),
        shortened(["-" if code is None else str(code) for code in exits]),
        str(thread.usage.input),
        str(thread.usage.output),
    )


def shortened(words: list[str]) -> str:
    runs: list[tuple[str, int]] = []
    for word in words:
        count = runs.pop()[1] if runs and runs[-1][0] == word else 0
        runs.append((word, count + 1))
    return " ".join(word if count == 1 else f"{word}*{count}" for word, count in runs) or "."


def test_every_file_has_its_rows_in_the_table_and_every_row_its_file() -> None:
    files = {str(path.relative_to(DATA)) for path in DATA.rglob("*.jsonl*")}

    assert files == set(ROWS)
    assert len(files) == 195


@pytest.mark.parametrize("file", sorted(ROWS))
def test_a_recorded_file_says_what_happened(file: str) -> None:
    threads = read_threads(DATA / file)

    assert [row_of(thread) for thread in threads] == ROWS[file]
    assert [thread.unknown for thread in threads] == [{}] * len(threads)
    assert [thread.bad_lines for thread in threads] == [()] * len(threads)


@pytest.mark.parametrize("file", sorted(ROWS))
def test_a_format_is_told_by_the_first_lines_alone(file: str) -> None:
    told = ROWS[file][0].format

    assert classify(DATA / file).value == told
    with open_rollout(DATA / file) as stream:
        assert format_of([line.data for line in read_lines(stream)][:2]).value == told


def test_all_formats_of_codex_are_in_the_corpus() -> None:
    seen = {row.format for rows in ROWS.values() for row in rows}

    assert seen == {form.value for form in Format} - {"claude", "unknown"}


@pytest.mark.parametrize("file", [file for file in sorted(ROWS) if file.endswith(".zst")])
def test_a_compressed_file_says_the_same_as_its_plain_form(file: str, tmp_path: Path) -> None:
    packed = DATA / file
    plain = tmp_path / packed.stem
    with open_rollout(packed) as stream:
        plain.write_bytes(b"".join(line.data + b"\n" for line in read_lines(stream)))

    readers = [RolloutReader(path) for path in (packed, plain)]
    assert [reader.advance() for reader in readers] == [True, True]

    one, other = (msgspec.json.encode(msgspec.structs.replace(reader.thread(), path="")) for reader in readers)
    assert one.replace(str(packed).encode(), str(plain).encode()) == other
    assert readers[0].offset == readers[1].offset == plain.stat().st_size
