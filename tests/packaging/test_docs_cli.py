"""`docs/cli.md`, rendered from a small command line that stands for ours."""

import importlib.util
from pathlib import Path
from types import ModuleType

import click
import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "generate.py"

EXPECTED = """\
## scribe

```text
Usage: scribe [OPTIONS] COMMAND [ARGS]...

  Copy books.

Options:
  -h, --help  Show this message and exit.

Commands:
  copy   Copy one book.
  shelf  What lies on the shelves.
```

## scribe copy

```text
Usage: scribe copy [OPTIONS] BOOK

  Copy one book.

  Each page is held against the exemplar before the next one is begun; a page that
  differs is written again.

Options:
  -h, --help  Show this message and exit.
```

## scribe shelf

```text
Usage: scribe shelf [OPTIONS] COMMAND [ARGS]...

  What lies on the shelves.

Options:
  -h, --help  Show this message and exit.

Commands:
  list  Name every book.
```

### scribe shelf list

```text
Usage: scribe shelf list [OPTIONS]

  Name every book.

Options:
  -h, --help  Show this message and exit.
```
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 40})
def scribe() -> None:
    """Copy books."""


@scribe.command()
@click.argument("book")
def copy(book: str) -> None:
    """Copy one book.

    Each page is held against the exemplar before the next one is begun; a page that differs is
    written again.
    """


@scribe.command(hidden=True)
def burn() -> None:
    """Nobody needs to read about this."""


@scribe.group()
def shelf() -> None:
    """What lies on the shelves."""


@shelf.command("list")
def list_books() -> None:
    """Name every book."""


@pytest.fixture
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("columns", ["40", "200"])
def test_every_command_is_there_at_one_width_on_any_terminal(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert generate.render(scribe, "scribe") == generate.HEAD + "\n" + EXPECTED


def test_a_stale_or_missing_document_is_said_and_writing_it_mends_that(
    generate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "cli.md"
    steps = [("old", True), ("old", False), ("old", True), ("new", True)]
    codes = [generate.settle(text, target, check=check) for text, check in steps]
    assert codes == [1, 0, 0, 1]
    assert target.read_text() == "old"
    assert capsys.readouterr().err.count("cli.md is stale; write it anew with `make docs`") == 2
