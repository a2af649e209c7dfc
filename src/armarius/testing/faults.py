"""What goes wrong on purpose.

Owns the names of faults and their spelling, `KIND`, `KIND=SECONDS`, `KIND*TIMES`, in a script
(`{"fault": "500*2"}`), in a prompt (`[[fault:429]]`) and in a server's script file.
Does not own what they look like on the wire: that is `exchange.py` and `model_server.py`.
Invariant: a fault that exists here has a documented outcome in Codex; nothing else is accepted.

    kind                    what the client gets
    ----------------------  ------------------------------------------------------------
    400 401 403 404 500     that status with an error body
    429                     `429=2` with "Retry-After: 2", which makes Codex try again
    usage-limit             429 with `usage_limit_reached` and the time of its end
    failed                  a stream that ends in response.failed, server_error
    context quota           the same with context_length_exceeded, insufficient_quota
    incomplete              partial text, then response.incomplete
    cut                     partial text, then the connection is closed
    stall                   partial text, then nothing until the client goes
    silence                 not a byte until the client goes
    slow                    a pause before every event: `slow=0.2`
"""

import re

import msgspec

from armarius.errors import DataError, nearest

__all__ = ["KINDS", "Fault", "fault_in_prompt", "parse_fault"]

KINDS = (
    *("400", "401", "403", "404", "429", "500", "usage-limit"),
    *("failed", "context", "quota", "incomplete", "cut", "stall", "silence", "slow"),
)
_SPELLING = re.compile(r"(?P<kind>[\w-]+)(?:=(?P<seconds>\d+(?:\.\d+)?))?(?:\*(?P<times>\d+))?")
_IN_PROMPT = re.compile(r"\[\[fault:([^\]\n]*)\]\]")


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong; `times` None means always."""

    kind: str
    seconds: float | None = None
    times: int | None = None


def parse_fault(text: str) -> Fault:
    """The fault so spelt; DataError for anything else."""
    found = _SPELLING.fullmatch(text.strip())
    if found is None or found["kind"] not in KINDS:
        raise DataError("unknown-fault", f"no fault is spelt {text!r}", nearest(text, KINDS))
    return Fault(
        found["kind"],
        float(found["seconds"]) if found["seconds"] else None,
        int(found["times"]) if found["times"] else None,
    )


def fault_in_prompt(prompt: str) -> Fault | None:
    """The fault a prompt asks for by `[[fault:…]]`."""
    found = _IN_PROMPT.search(prompt)
    return parse_fault(found[1]) if found else None
