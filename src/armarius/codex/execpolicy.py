"""Codex's own word about rules: `codex execpolicy check`.

Owns asking it. Does not own the rules nor what speaks against one (audit/policy.py).
Invariant: it starts no command and no model; a file that Codex does not take, because of its form or because one of
its own examples does not hold, is a DataError with Codex's words.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from armarius.codex.binary import Binary
from armarius.errors import DataError, HostError
from armarius.programs import run

__all__ = ["Decided", "Decision", "Matched", "ask"]

Decision = Literal["allow", "prompt", "forbidden"]

_PATIENCE_S = 30.0
_NOISE = re.compile(r"^(?:WARNING: proceeding, even though|Stack backtrace:|\s*\d+: <unknown>).*$", re.MULTILINE)


class Matched(msgspec.Struct, frozen=True):
    """A rule that a command met: the words of its prefix, what it says, and why."""

    prefix: tuple[str, ...]
    decision: Decision
    justification: str | None = None


class Decided(msgspec.Struct, frozen=True):
    """What the rules say of a command; `decision` is None where no rule does."""

    decision: Decision | None
    matched: tuple[Matched, ...] = ()


class _Prefix(msgspec.Struct, rename="camel"):
    matched_prefix: tuple[str, ...]
    decision: Decision
    justification: str | None = None


class _Rule(msgspec.Struct, rename="camel"):
    prefix_rule_match: _Prefix | None = None


class _Answer(msgspec.Struct, rename="camel"):
    matched_rules: tuple[_Rule, ...]
    decision: Decision | None = None


def ask(binary: Binary, files: Sequence[Path], command: Sequence[str]) -> Decided:
    """What the rules of these files say of a command; DataError when Codex does not take one of them."""
    flags = [word for file in files for word in ("--rules", str(file.absolute()))]
    with tempfile.TemporaryDirectory(prefix="armarius-rules-") as home:  # an empty one: no configuration has a say
        done = run(
            [binary.path, "execpolicy", "check", *flags, "--", *command],
            cwd=Path(home),
            environ={"HOME": home, "CODEX_HOME": home, "PATH": "/usr/bin:/bin"},
            timeout=_PATIENCE_S,
        )
    if done.code is None:
        raise HostError("execpolicy", f"codex execpolicy did not answer within {_PATIENCE_S:g} s", "try again")
    if done.code != 0:
        said = _NOISE.sub("", done.stderr.decode(errors="replace")).strip()
        short = re.sub(r"\s*\n\s*", " ", said)[:1_000]
        raise DataError("rules", f"codex does not take these rules: {short}", "correct the file, or its examples")
    try:
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except msgspec.DecodeError as error:
        raise HostError("execpolicy", f"codex execpolicy answers in a new way: {error}", "update Armarius") from error
    rules = (one.prefix_rule_match for one in answer.matched_rules)
    matched = tuple(Matched(one.matched_prefix, one.decision, one.justification) for one in rules if one is not None)
    return Decided(answer.decision, matched)
