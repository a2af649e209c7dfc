"""What a terminal or a program gets to read.

Owns printing: JSON objects with their schema, aligned tables, one-line errors. Does not own content.
Invariant: nothing that an agent or a file said reaches a terminal with control characters in it.
"""

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from armarius.errors import ArmariusError
from armarius.visible import CONTROLS_AND_BIDI, clean

__all__ = ["as_json_text", "clean", "print_error", "print_json", "print_table", "say"]

_ESCAPED = {code: f"\\u{code:04x}" for code in CONTROLS_AND_BIDI if code >= ord("\x7f")}
"""What JSON lets through and a terminal does not; outside of strings JSON has none of these."""


def say(text: str, *, err: bool = False) -> None:
    """A line for people."""
    click.echo(clean(text), err=err)


def as_json_text(value: Any) -> str:
    """One JSON object that a terminal can show."""
    return msgspec.json.encode(value).decode().translate(_ESCAPED)


def print_json(value: Any) -> None:
    """One JSON object on standard output; a Struct brings its own `schema`."""
    sys.stdout.buffer.write(as_json_text(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def print_error(error: ArmariusError, *, as_json: bool) -> int:
    """One line, or one object, on standard error; the exit code."""
    if as_json:
        body = {
            "schema": "armarius.error.v1",
            "code": error.code,
            "message": _encodable(error.message),
            "hint": _encodable(error.hint),
        }
        click.echo(msgspec.json.encode(body).decode().translate(_ESCAPED), err=True)
    else:
        click.echo("armarius: " + clean(str(error)).replace("\n", " "), err=True)
    return error.exit_code


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the last one takes what is left."""
    cells = [[clean(cell).replace("\n", " ") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def _encodable(text: str) -> str:
    """`text` with the bytes of a name that is not UTF-8 made visible, so that JSON can hold it."""
    return text.encode(errors="backslashreplace").decode()
