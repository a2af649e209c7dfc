"""What a text says to whoever reads it otherwise than a person does.

Owns the readings of a text (as a shell, a browser or a patient model would take it) and whether a word is text in
another code. Does not own what is looked for in a reading (`capability`).
Invariant: pure and linear in the length of the text; a text in plain letters without tricks has no other reading.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator

__all__ = ["encoded_words", "mixes_alphabets", "readings"]

# Letters of other alphabets that look like Latin ones in most fonts (Unicode Technical Standard 39, confusables).
_LOOK = dict(
    zip(
        "аӏВвсСԁеЕԛһНіІјЈкКМтТоОрРѕЅѵѡхХуУԝᴢɡɑℓαβγεηικνορτυχωϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧօսոհցքա",
        "alBBcCdeEqhHiIjJkKMtToOpPsSvwxXyYwzgalaBYenikvoptuxwcjABEZHIKMNOPTYXounhgpw",
        strict=True,
    )
)
_SLASHES, _HYPHENS = "\u2044\u2215\u29f8", "\u2010\u2011\u2012\u2212\ufe63"
_ALIKE = str.maketrans(_LOOK | dict.fromkeys(_SLASHES, "/") | dict.fromkeys(_HYPHENS, "-"))
_FULL_STOP = re.compile(r"(?<=[A-Za-z0-9-])[。‧](?=[A-Za-z])")  # browsers take it for a dot in the name of a host
_QUOTES = re.compile(r"(?<=\w)(?:['\"`\\^]{1,4}|\$@|\$\*|\{\})(?=\w)")
_SPELT = re.compile(r"(?<!\w)[^\W\d_](?:([ ._*+-])[^\W\d_])(?:\1[^\W\d_]){1,14}(?!\w)")

_OTHERS = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})
_LATIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

_MAYBE_BASE64 = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{6,200}={0,2}(?![\w+/=-])")
_MAYBE_BASE32 = re.compile(r"(?<![\w=])(?=[A-Z]*[2-7])[A-Z2-7]{4,200}={1,6}(?![\w=])")
_MAYBE_HEX = re.compile(r"(?<!\w)(?:0x)?((?:[0-9a-fA-F]{2}){4,100})(?!\w)")
_MAYBE_CODES = re.compile(r"(?<![\w.,])\d{2,3}(?:(?:, ?| )\d{2,3}){3,100}(?![\w.]\w)")
_LEAST_BYTES, _LEAST_PADDED = 6, 4
_MOSTLY = 0.6


def readings(text: str) -> Iterator[str]:
    """The text in plain letters, without quotes inside of words, and with spelt-out words put together."""
    plain = unicodedata.normalize("NFKC", text.translate(_ALIKE)).translate(_ALIKE)
    plain = "".join(one for one in unicodedata.normalize("NFD", plain) if unicodedata.category(one) != "Mn")
    plain = _QUOTES.sub("", _FULL_STOP.sub(".", plain))
    if plain != text:
        yield plain
    joined = _SPELT.sub(lambda spelt: spelt[0].replace(spelt[1], ""), plain)
    if joined != plain:
        yield joined


def mixes_alphabets(word: str) -> bool:
    """Whether Latin letters stand in one word with letters that look like them, or are no plain letters at all."""
    others = [character for character in word if not character.isascii()]
    if not others:
        return False
    if any(unicodedata.normalize("NFKC", character) in _LATIN for character in others):
        return True
    names = {unicodedata.name(character, "").partition(" ")[0] for character in word if character.isalpha()}
    return "LATIN" in names and bool(names & _OTHERS)


def encoded_words(text: str) -> Iterator[str]:
    """The words of a text that are letters in another code; words of a language decode to noise."""
    for match in _MAYBE_BASE64.finditer(text):
        bare = match[0].rstrip("=")
        least = _LEAST_BYTES if bare == match[0] else _LEAST_PADDED
        if _tells(_base64(bare), least):
            yield match[0]
    for match in _MAYBE_BASE32.finditer(text):
        if _tells(_base32(match[0]), _LEAST_PADDED):
            yield match[0]
    for match in _MAYBE_HEX.finditer(text):
        if _tells(bytes.fromhex(match[1]), _LEAST_PADDED, _MOSTLY):
            yield match[0]
    for match in _MAYBE_CODES.finditer(text):
        codes = [int(code) for code in re.findall(r"\d+", match[0])]
        told = bytes(code for code in codes if code < 0x7F)  # noqa: PLR2004 - what ASCII prints
        if len(told) == len(codes) and told == told.lower() and _tells(told, _LEAST_PADDED, _MOSTLY):
            yield match[0]


def _base64(bare: str) -> bytes:
    try:
        return base64.b64decode(bare.replace("-", "+").replace("_", "/") + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        return b""


def _base32(word: str) -> bytes:
    bare = word.rstrip("=")
    try:
        return base64.b32decode(bare + "=" * (-len(bare) % 8))
    except binascii.Error:
        return b""


def _tells(told: bytes, least: int, letters: float = 0.0) -> bool:
    """Whether these are so many bytes at least, all of them printed by ASCII, and so large a part of them letters."""
    printed = all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in told)  # noqa: PLR2004 - as above
    return len(told) >= least and printed and sum(chr(byte).isalpha() for byte in told) >= letters * len(told)
