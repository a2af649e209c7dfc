"""The front matter of a SKILL.md: what Codex must find there.

Owns where it ends, its name and description, and the rule for names. Does not own the file's bytes:
front matter is read and never rewritten.
Invariant: YAML is parsed to nodes and never to objects, so no tag or odd value in it can act; every
refusal names the line.
"""

import re
from typing import Any

from armarius.errors import DataError

__all__ = ["front_lines", "read_front"]

_FENCE = "---"
_NAME = re.compile(r"[^\W_][\w .:-]{0,63}")
_NAME_RULE = "use 1 to 64 letters, digits, spaces and . _ - : beginning with a letter or digit"
# Names that Windows gives to devices; a team's hub may be unpacked there.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def front_lines(lines: list[str], where: str) -> int:
    """How many lines the front matter has, fences included.

    A fence is a line that is `---` but for white space around it, even inside a YAML block: there
    Codex ends the front matter (seen with 0.163).
    """
    if not lines or lines[0].strip() != _FENCE:
        raise DataError(
            "no-front-matter",
            f"{where}:1: the front matter is missing",
            "begin the file with '---', name, description, '---'",
        )
    for number, line in enumerate(lines[1:], 2):
        if line.strip() == _FENCE:
            return number
    raise DataError("no-front-matter", f"{where}:1: the front matter does not end", "close it with a line '---'")


def read_front(lines: list[str], where: str) -> tuple[str, str]:
    """Name and description from the lines that `front_lines` counted."""
    fields = _scalars("".join(lines[1:-1]), where)
    for key in ("name", "description"):
        text, line = fields.get(key, ("", 1))
        if not text.strip():
            raise DataError("front-matter", f"{where}:{line}: the front matter has no {key}", f"add '{key}: …'")
    name, line = fields["name"]
    name = " ".join(name.split())
    if not _NAME.fullmatch(name) or _DEVICE.fullmatch(name):
        raise DataError("skill-name", f"{where}:{line}: {name[:80]!r} is no name for a skill", _NAME_RULE)
    return name, fields["description"][0]


def _scalars(text: str, where: str) -> dict[str, tuple[str, int]]:
    """The scalar fields of a YAML mapping, each with its line in the file."""
    root = _compose(text, where)
    if root is None:
        return {}
    if root.id != "mapping":
        raise _bad_yaml(where, 2, "it is no mapping of keys to values")
    fields: dict[str, tuple[str, int]] = {}
    for key, value in root.value:
        if key.id != "scalar" or value.id != "scalar":
            continue
        line = key.start_mark.line + 2
        if key.value in ("name", "description") and key.value in fields:
            raise _bad_yaml(where, line, f"{key.value} is there twice")
        fields[key.value] = ("" if value.tag == "tag:yaml.org,2002:null" else value.value, line)
    return fields


def _compose(text: str, where: str) -> Any:
    """The root node of a YAML text, None for an empty one."""
    from ruamel.yaml import YAML  # 130 ms of import that only a reader of skills should pay
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # legal YAML; the warning would go to stderr
    try:
        return yaml.compose(text)
    except MarkedYAMLError as error:
        marked: Any = error
        line = marked.problem_mark.line + 2 if marked.problem_mark else 1
        raise _bad_yaml(where, line, marked.problem) from error
    except YAMLError as error:  # the reader's: a character that YAML forbids, by its position
        line = text.count("\n", 0, getattr(error, "position", 0)) + 2
        raise _bad_yaml(where, line, "a control character") from error
    except RecursionError as error:
        raise _bad_yaml(where, 1, "nested too deeply") from error


def _bad_yaml(where: str, line: int, problem: str) -> DataError:
    return DataError(
        "front-matter",
        f"{where}:{line}: bad YAML in the front matter: {problem}",
        "quote values that hold ': ' or special characters",
    )
