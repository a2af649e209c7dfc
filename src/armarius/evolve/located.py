"""JSON text in which every value knows its place.

Owns decoding a JSON or JSONL text so that a complaint about any value can name line and column.
Does not own what the values mean.
Invariant: what is decoded is unambiguous. A key that is there twice, a number that is not finite,
half a surrogate pair and bytes that are not UTF-8 are refused, where they stand. Lines and columns
count from 1, columns in code points.
"""

import json
import math
import re
from typing import Any, NamedTuple, TypeAlias

from armarius.errors import DataError

__all__ = ["Located", "Path", "decode_json", "decode_rows"]

Path: TypeAlias = tuple[str | int, ...]
"""The keys and indexes that lead to a value, from the root."""

_SPACE = re.compile(r"[ \t\n\r]*")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder()
_SHOWN = 80


class Located(NamedTuple):
    """A decoded value, and for each value in it where it begins in the text."""

    where: str
    text: str
    value: Any
    offsets: dict[Path, int]

    def at(self, path: Path) -> Any:
        """The value that `path` leads to, None when there is none."""
        value = self.value
        for key in path:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def line_column(self, path: Path) -> str:
        """`line:column` of the value, or of the nearest one around it when it is missing."""
        while path and path not in self.offsets:
            path = path[:-1]
        return _line_column(self.text, self.offsets.get(path, 0))

    def error(self, path: Path, code: str, message: str, hint: str = "") -> DataError:
        return DataError(code, f"{self.where}:{self.line_column(path)}: {message}", hint)


def decode_json(data: bytes, where: str) -> Located:
    """The one JSON value that `data` is."""
    reader = _Reader(where, _decode(data, where), {})
    return Located(where, reader.text, reader.value(0, len(reader.text), ()), reader.offsets)


def decode_rows(data: bytes, where: str, field: str) -> Located:
    """The rows of a JSONL text, as `{field: [row, …]}`; blank lines are no rows."""
    reader = _Reader(where, _decode(data, where), {})
    rows: list[Any] = []
    start = 0
    for line in reader.text.split("\n"):
        if line.strip():
            rows.append(reader.value(start, start + len(line), (field, len(rows))))
        start += len(line) + 1
    return Located(where, reader.text, {field: rows}, reader.offsets)


def _decode(data: bytes, where: str) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        message = f"{where}:1:1: a byte order mark stands before the JSON"
        raise DataError("byte-order-mark", message, "save the file as UTF-8 without BOM")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        above = data[: error.start].decode()
        raise DataError(
            "not-utf8",
            f"{where}:{_line_column(above, len(above))}: byte 0x{data[error.start]:02x} is not UTF-8",
            "save it as UTF-8",
        ) from error


class _Ambiguous(Exception):
    """Valid to a lenient reader only; says where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class _Reader(NamedTuple):
    """Decodes parts of one text and notes in `offsets` where each value begins."""

    where: str
    text: str
    offsets: dict[Path, int]

    def value(self, start: int, end: int, path: Path) -> Any:
        """The value that `text[start:end]` is."""
        try:
            value = json.loads(self.text[start:end])
            self._walk(_skip(self.text, start), path)
        except json.JSONDecodeError as error:
            raise self._invalid(start + error.pos, error.msg) from None
        except _Ambiguous as error:
            raise self._invalid(error.offset, str(error)) from None
        except RecursionError:
            raise self._invalid(start, "nested too deeply") from None
        except ValueError:  # Python's limit on the digits of an integer
            raise self._invalid(start, "a number has thousands of digits") from None
        return value

    def _walk(self, at: int, path: Path) -> int:
        """Note where the value at `at` and all in it begin; return where it ends. The text is valid."""
        text = self.text
        self.offsets[path] = at
        if text[at] not in "{[":
            return _scalar(text, at)[1]
        closing = "}" if text[at] == "{" else "]"
        at = _skip(text, at + 1)
        index = 0
        while text[at] != closing:
            key: str | int = index
            if closing == "}":
                name_at = at
                name, at = _scalar(text, at)
                key = str(name)
                if (*path, key) in self.offsets:
                    raise _Ambiguous(f"the key {key[:_SHOWN]!r} is there twice", name_at)
                at = _skip(text, _skip(text, at) + 1)
            at = _skip(text, self._walk(at, (*path, key)))
            if text[at] == ",":
                at = _skip(text, at + 1)
            index += 1
        return at + 1

    def _invalid(self, offset: int, reason: str) -> DataError:
        return DataError("json", f"{self.where}:{_line_column(self.text, offset)}: invalid JSON: {reason}")


def _scalar(text: str, at: int) -> tuple[Any, int]:
    value, end = _DECODER.raw_decode(text, at)
    if isinstance(value, float) and not math.isfinite(value):
        raise _Ambiguous("a number is not finite", at)
    if isinstance(value, str) and _HALF_PAIR.search(value):
        raise _Ambiguous("a text holds half a surrogate pair", at)
    return value, end


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found, "the pattern matches nothing too"
    return found.end()


def _line_column(text: str, offset: int) -> str:
    line_start = text.rfind("\n", 0, offset) + 1
    return f"{text.count(chr(10), 0, offset) + 1}:{offset - line_start + 1}"
