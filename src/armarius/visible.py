"""Characters that act or hide, shown as what they are.

Owns which those are, and their spelling. Does not own whose text it is.
Invariant: `clean` leaves nothing that a terminal obeys but line ends and tabs; `reveal` leaves nothing,
either, that is there without being seen. What is visible anyway stays as it is.
"""

import re
import unicodedata

__all__ = ["CONTROLS_AND_BIDI", "clean", "reveal"]

_KEPT = "\n\t"
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
CONTROLS_AND_BIDI = (*_CONTROLS, *_BIDI)
"""What a terminal obeys, by code."""

_VISIBLE = {code: repr(chr(code))[1:-1] for code in CONTROLS_AND_BIDI if chr(code) not in _KEPT}
_SUSPECT = re.compile(r"[^\n\t -~]")
_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Categories of Unicode that a person does not see, or not as what they are."""


def clean(text: str) -> str:
    """`text` with control and bidirectional characters made visible; lines and tabs stay."""
    return text.translate(_VISIBLE)


def reveal(text: str) -> str:
    """`text` as `clean` would have it, with all that is invisible made visible, too."""
    return _SUSPECT.sub(_show, text)


def _show(match: re.Match[str]) -> str:
    character = match.group()
    return repr(character)[1:-1] if unicodedata.category(character) in _HIDDEN else character
