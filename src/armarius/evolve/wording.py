"""What the words of an answer amount to: sources that it cites, a refusal that it begins with.

Owns the patterns for both. Does not own the checks that ask for them (`judge`).
Invariant: linear time on any text; code and comments cite nothing.
"""

import re

from armarius.evolve.sections import visible_lines

__all__ = ["citations_in", "refusal_in"]

_CODE = re.compile(r"`[^`\n]*`")
_NUMBERS = re.compile(r"\[(\^?\d{1,3}(?:, ?\^?\d{1,3}){0,20})\]")
_URL = re.compile(r"https?://[^\s<>()\[\]\"'`]+", re.IGNORECASE)


def citations_in(text: str) -> int:
    """How many sources a text cites outside code: by number or by URL, whichever is more."""
    prose = _CODE.sub("", "\n".join(visible_lines(text.split("\n"))))
    numbers = {int(number.strip(" ^")) for found in _NUMBERS.findall(prose) for number in found.split(",")}
    urls = {url.partition("#")[0].rstrip(".,;:!?*_/").lower() for url in _URL.findall(prose)}
    return max(len(numbers), len(urls))


_REFUSAL_SPAN = 300
"""Code points of the beginning in which a refusal stands; bounds the work of the pattern."""

_REFUSAL = re.compile(
    r"""\W* (?: (?:i'?m\ |i\ am\ )? (?:so\ |very\ |really\ )? (?:sorry|afraid) \b [^.!?]{0,60}? [\ .,;:!-]+
            | (?:my\ )?apologies \b [^.!?]{0,60}? [\ .,;:!-]+
            | unfortunately,?\ )?
    (?:but\ |that\ )? (?:as\ an?\ (?:ai|language\ model|assistant) \b [^.!?,]{0,60} ,\ )?
    (?: i(?:'m|\ am)?\ (?:unable\ to|not\ able\ to|cannot|can'?t|can\ not|won'?t|will\ not|refuse\ to
                       |(?:must\ |have\ to\ )?decline\ to) \ (?:\w+ly\ )?
        (?:answer|assist|comply|complete|continue|create|discuss|do\ (?:so|that|this)|engage|fulfill?
          |generate|give|help|offer|participate|produce|provide|respond|share|support|write) \b
      | i\ (?:must|have\ to)\ (?:decline|refuse) \b )""",
    re.VERBOSE,
)


def refusal_in(text: str) -> str:
    """The refusal that the answer begins with, or nothing.

    To say that something cannot be recommended is advice; only what the task asks for is refused.
    """
    beginning = " ".join(text[:_REFUSAL_SPAN].lower().replace("\u2019", "'").split())
    found = _REFUSAL.match(beginning)
    return found[0] if found else ""
