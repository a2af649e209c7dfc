"""Secrets out of text, before it leaves: to a model, a log, a report, an error line.

Owns the rules for what looks like a secret. Does not own where text goes.
Invariant: linear time on any input, and a redacted text redacts to itself. A rule says what kind
of secret it found; the secret's own characters never appear in the result.
"""

from typing import Any

import re2

__all__ = ["may_hold_secret", "redact"]

# Where a secret may begin: after a character that is no part of a word, or after an escape that ends
# in one: `\n` in JSON, `%3D` in a URL, `ESC[31m` on a terminal. The escape is kept.
_ESC = r"(?:\x1b|\\(?:u001[bB]|x1[bB]|033|e))"
_ESCAPE = rf"(?:{_ESC}\[[0-9;]*[A-Za-z]|\\(?:[abefnrtv0]|x[0-9A-Fa-f]{{2}}|u[0-9A-Fa-f]{{4}})|%[0-9A-Fa-f]{{2}})"
_START = rf"(?:\b|{_ESCAPE})"

_VALUE = r"(?:[^\s\"'\[\],;\\]|\\[^\s\"'])"
_QUOTE = r"(?:\\*[\"'])?"
_ASSIGNMENT = (
    r"(?i:[A-Z0-9_.-]*(?:api[_-]?key|secret|passw(?:or)?d|(?:access|refresh|auth)[_-]?token"
    r"|(?:account|shared[_-]?access)[_-]?key)"
    rf"[A-Z0-9_.-]*{_QUOTE}\s*[:=]\s*{_QUOTE}{_VALUE}{{8,}})"
)
_PEM = r"[A-Z ]*PRIVATE KEY[A-Z ]*-----"
_HOUSES = "|".join(
    (
        *(r"gsk_[A-Za-z0-9]{20,}", r"pplx-[A-Za-z0-9]{20,}", r"r8_[A-Za-z0-9]{30,}", r"ntn_[A-Za-z0-9]{30,}"),
        *(r"xapp-\d-[A-Za-z0-9-]{20,}", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", r"lin_api_[A-Za-z0-9]{20,}"),
        *(r"do[opr]_v1_[A-Za-z0-9]{30,}", r"shp(?:at|ca|pa|ss)_[A-Za-z0-9]{20,}", r"dapi[a-f0-9]{32}"),
        *(r"hv[bsr]\.[A-Za-z0-9_-]{20,}", r"ATATT3[A-Za-z0-9_=-]{30,}", r"dp\.(?:pt|st|sa|ct)\.[A-Za-z0-9]{20,}"),
        *(
            r"sntry[su]_[A-Za-z0-9+/=_-]{20,}",
            r"sbp_[A-Za-z0-9]{20,}",
            r"NRAK-[A-Z0-9]{20,}",
            r"whsec_[A-Za-z0-9]{20,}",
        ),
        *(r"AGE-SECRET-KEY-1[A-Z0-9]{30,}", r"\d{8,10}:AA[A-Za-z0-9_-]{30,}"),
    )
)
"""Keys that providers mark as theirs by how they begin."""

_COOKIE = rf"(?i:(?:set-)?cookie){_QUOTE}\s*:\s*{_QUOTE}[A-Za-z0-9_.-]+=(?:; *|[^\s\"'\\]){{8,}}"

# A match takes the word to its end: a new beginning of a word could make another match next time.
_RULES = (
    ("private-key", rf"-----BEGIN {_PEM}(?:[^-]|-[^-])*(?:-----END {_PEM})?"),
    ("jwt", _START + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    ("openai-key", _START + r"sk-[A-Za-z0-9_-]{16,}"),
    ("github-token", _START + r"(?:gh[pousr]_[A-Za-z0-9]{20,}\w*|github_pat_\w{20,})"),
    ("gitlab-token", _START + r"glpat-[A-Za-z0-9_-]{16,}"),
    ("npm-token", _START + r"npm_[A-Za-z0-9]{20,}\w*"),
    ("hf-token", _START + r"hf_[A-Za-z0-9]{20,}\w*"),
    ("xai-key", _START + r"xai-[A-Za-z0-9_-]{20,}"),
    ("google-key", _START + r"(?:AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})"),
    ("slack-token", _START + r"xox[abeoprs]-[A-Za-z0-9-]{10,}\w*"),
    ("aws-key", _START + r"(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("stripe-key", _START + r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\w*"),
    ("pypi-token", _START + r"pypi-[A-Za-z0-9_-]{32,}"),
    ("refresh-token", _START + r"rt_[A-Za-z0-9._-]{20,}"),
    ("url-password", r"://[^\s:/@\[\]\"']*:[^\s/\[\]\"']+@"),
    ("provider-key", _START + rf"(?:{_HOUSES})\w*"),
    ("cookie", _START + _COOKIE),
    ("bearer", _START + r"(?i:bearer)\s+[A-Za-z0-9._~+/=-]{12,}"),
    ("basic", _START + rf"(?i:authorization){_QUOTE}\s*[:=]\s*{_QUOTE}(?i:basic)\s+[A-Za-z0-9+/=_-]{{8,}}"),
    ("assignment", _START + _ASSIGNMENT),
)

_BREAK = r"(?:\s|\\[nrtf]|\\u000[9AaCcDd])"

_any: Any = re2.compile("|".join(f"({pattern})" for _, pattern in _RULES))  # pyright: ignore[reportUnknownMemberType]
_escape: Any = re2.compile(_ESCAPE)  # pyright: ignore[reportUnknownMemberType]

# In JSON a line break is two characters, and any character may be hidden behind an escape.
_IN_JSON = "|".join(
    (
        *(
            pattern.removeprefix(_START).replace(r"\s+", rf"{_BREAK}+").replace(r"\s*", rf"{_BREAK}*")
            for _, pattern in _RULES
        ),
        r"\\u00[2-7]",
        r"\\/",
    )
)
_suspect: Any = re2.compile(_IN_JSON)  # pyright: ignore[reportUnknownMemberType]


def may_hold_secret(json: bytes) -> bool:
    """Whether a text in `json` could be one that `redact` changes: one quick look, so that most need no decoding."""
    return _suspect.search(json) is not None


def redact(text: str) -> str:
    """`text` with every secret replaced by `[redacted:<kind>]`."""
    return _any.sub(_name, text)


def _name(match: Any) -> str:
    escape = _escape.match(match.group())
    return f"{escape.group() if escape else ''}[redacted:{_RULES[match.lastindex - 1][0]}]"
