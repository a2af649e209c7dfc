"""Text that somebody else wrote, as a block of a prompt.

Owns the block. Does not own what looks like a secret (`redact.py`) nor what hides (`visible.py`).
Invariant: no line of the text can end its block, nothing in it is invisible to a person who reads the
prompt, and its secrets are gone. That a model does not obey it anyway is not in our hands: whoever hands
on such a text lets the run that reads it do nothing that matters.
"""

import json
import re
from typing import Any

from armarius.redact import redact
from armarius.visible import reveal

__all__ = ["fenced", "fenced_json"]

_SHORTEST = 3
_MARKS = re.compile(r"`+")


def fenced(text: str, kind: str = "") -> str:
    """`text` as a block; `kind` is a word of ours that says what it is."""
    known = text.encode(errors="backslashreplace").decode()  # half a character, from the name of a file
    shown = reveal(redact(known.replace("\r\n", "\n"))).rstrip("\n")
    longest = max((len(marks) for marks in _MARKS.findall(shown)), default=0)
    marks = "`" * max(_SHORTEST, longest + 1)
    return f"{marks}{kind}\n{shown}\n{marks}"


def fenced_json(value: Any) -> str:
    """A value as a block of JSON; the caller has redacted its texts."""
    # JSON may spell a backtick as an escape, so that the usual fence is enough.
    text = json.dumps(value, ensure_ascii=False, indent=1).replace("```", "\\u0060\\u0060\\u0060")
    return f"```json\n{text}\n```"
