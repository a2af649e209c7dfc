"""What a note is, and what may not be one.

Owns the value, its scopes and their order, and what is refused. Does not own where notes are kept.
Invariant: pure; linear time. What is refused is named by its kind and never quoted.

A constraint may well be a command ("always run the linter"). Refused is what speaks to a model as its master
does: of its instructions, its role, its permissions, of what it is to hide, or in the marks of a conversation.
"""

import re
import unicodedata
from typing import Annotated, Any, Final, Literal

import msgspec
import re2

from armarius.errors import DataError
from armarius.redact import redact
from armarius.visible import reveal

__all__ = ["USER", "Kind", "Note", "check_text", "rank_of", "repo_scope", "session_scope", "shape_of"]

Kind = Literal["preference", "constraint", "fact", "chunk"]
USER: Final = "user"
"""The scope that holds everywhere."""

_LONGEST_KEY: Final = 120
_LONGEST_VALUE: Final = 4_000
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/:#+-]*\Z")

_THEIRS = r"(?:previous|prior|earlier|above|existing|system|developer|safety|all|any|these|those|your|the|other|of|my)"
_RULES = r"(?:instructions?|rules?|prompts?|guidelines?|polic(?:y|ies)|constraints?|messages?|restrictions?|training)"
_TELL = r"(?:tell|inform|mention|reveal|notify|ask|alert)(?:ing)?"
_WHOM = r"(?:user|human|owner|operator|anyone|permission|approval)"
_KEYS = r"(?:secrets?|credentials?|tokens?|api\s*keys?|passwords?|auth\.json|environment\s+variables?)"
_MODE = r"(?:danger-full-access|--yolo|dangerously-bypass|approval_policy|sandbox_mode)"
_GUARD = r"(?:sandbox|approvals?|guardrails?|safety)"
_MARKS = (
    r"(?:<\|?/?(?:im_start|im_end|system|assistant|developer|endoftext)\b|\[/?INST\]|BEGIN\s+(?:NEW\s+)?INSTRUCTIONS)"
)
_SHAPES = (
    ("override", rf"(?i)\b(?:ignore|disregard|forget|override|bypass|overrule)\s+(?:{_THEIRS}\s+){{1,5}}{_RULES}"),
    ("role", r"(?i)\b(?:you\s+are\s+now|from\s+now\s+on,?\s+you|act\s+as\s+(?:if\s+you|an?\s+unrestricted))\b"),
    ("role", r"(?i)\b(?:pretend\s+(?:to\s+be|that\s+you)|enter\s+(?:developer|god|dan)\s+mode|jailbreak)\b"),
    ("prompt", r"(?i)\b(?:system|developer)\s+(?:prompt|message|instructions?)\b"),
    ("secrecy", rf"(?i)\b(?:do\s+not|don'?t|never|without)\s+{_TELL}\s+(?:\w+\s+){{0,3}}{_WHOM}"),
    ("permission", rf"(?i)(?:{_MODE}|\b(?:disable|turn\s+off|skip|leave|escape)\s+(?:the\s+)?{_GUARD}\b)"),
    ("exfiltration", rf"(?i)\b(?:send|post|upload|exfiltrate|leak|forward)\b[^.\n]{{0,80}}\b{_KEYS}\b"),
    ("pipe-to-shell", r"(?i)\b(?:curl|wget)\b[^\n|]{0,300}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"),
    ("turn-marks", rf"(?im)(?:^\s*(?:system|assistant|developer|user|human)\s*:|{_MARKS})"),
)
_any: Any = re2.compile("|".join(f"({pattern})" for _, pattern in _SHAPES))  # pyright: ignore[reportUnknownMemberType]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One thing worth knowing. `source` says where it comes from, `confidence` how sure that makes it (0 to 1).

    Of several with one kind and key in a scope the latest counts. A `chunk` is a piece of the document `document`.
    """

    id: str
    kind: Kind
    key: str
    value: str
    scope: str
    source: str
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    created_at_us: int = 0
    expires_at_us: int | None = None
    document: str | None = None


def check_text(key: str, value: str) -> None:
    """DataError when this may not be remembered."""
    if not _KEY.match(key) or len(key) > _LONGEST_KEY:
        raise DataError("memory-key", f"{key[:_LONGEST_KEY]!a} is no key", "use up to 120 letters, digits and ._/:#+-")
    if not value.strip() or len(value) > _LONGEST_VALUE:
        raise DataError("memory-value", f"{key}: a value has 1 to {_LONGEST_VALUE:,} characters", "shorten it")
    for text in (key, value):
        if redact(text) != text:
            raise DataError("memory-secret", f"{key}: this looks like a secret", "leave it out; name where it lies")
        if reveal(text) != text:
            raise DataError("memory-hidden", f"{key}: there are characters that nobody sees", "leave them out")
        shape = shape_of(text)
        if shape is not None:
            raise DataError(
                "memory-instruction", f"{key}: this speaks to a model as an instruction ({shape})", "say a fact instead"
            )


def shape_of(text: str) -> str | None:
    """Which kind of instruction to a model a text looks like; None: none that we know."""
    found: Any = _any.search(unicodedata.normalize("NFKC", text))
    return None if found is None else _SHAPES[int(found.lastindex) - 1][0]


def repo_scope(root: str) -> str:
    return f"repo:{root}"


def session_scope(thread_id: str) -> str:
    return f"session:{thread_id}"


def rank_of(scope: str) -> int:
    """How near a scope is: what a session says goes before its repository, and that before everything else."""
    return 2 if scope.startswith("session:") else 1 if scope.startswith("repo:") else 0
