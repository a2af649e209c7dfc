"""What belongs to a report, in one folder: prompts, logs and artefacts of each run by the same stem.

Owns the folder's form. Does not own what the files say.
Invariant: everything that is text leaves without secrets; the originals stay where the receipt names them.
"""

from pathlib import Path

from armarius.errors import DataError
from armarius.files import private_folder, read_bounded, write_atomic
from armarius.redact import redact
from armarius.runs.records import RunRow

__all__ = ["fill_folder"]

_LARGEST = 256 << 20
_PARTS = (
    ("prompt", "prompts", ".md"),
    ("events.jsonl", "logs", ".jsonl"),
    ("stderr.log", "logs", ".stderr.log"),
    ("answer.txt", "artifacts", ".answer.md"),
    ("changes.diff", "artifacts", ".diff"),
    ("receipt.json", "artifacts", ".receipt.json"),
    ("schema.json", "artifacts", ".schema.json"),
)


def fill_folder(folder: Path, runs: list[RunRow]) -> int:
    """Put the papers of runs into a folder; how many there are."""
    count = 0
    for run in runs:
        result = run.outcome
        if result is None:
            continue
        attempt = Path(result.folder)
        named = [(attempt / name, kind, f"{run.id}{suffix}") for name, kind, suffix in _PARTS]
        required = sorted((attempt / "required").glob("[1-9]*/events.jsonl"))
        named += [(path, "logs", f"{run.id}.required-{path.parent.name}.log") for path in required]
        for path, kind, name in named:
            if not path.is_file():
                continue
            try:
                text = read_bounded(path, _LARGEST).decode(errors="replace")
            except DataError:
                continue  # too large for anybody to read: the receipt names it
            write_atomic(private_folder(folder / kind) / name, redact(text).encode())
            count += 1
    return count
