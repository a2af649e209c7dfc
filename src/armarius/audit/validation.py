"""What is asked of a judgement, and what came of it.

Owns the values. Does not own how they come about (validate.py) nor what a judge's run is worth (judging.py).
Invariant: an outcome is one of four words, and only PASS is a success.
"""

from pathlib import Path
from typing import Literal

import msgspec

from armarius.audit.judging import Outcome
from armarius.audit.oracle import Restored
from armarius.audit.spiral import Sign
from armarius.audit.subject import Author
from armarius.audit.verdict import Verdict
from armarius.dispatch.desk import Options
from armarius.errors import Failed, NoAnswer
from armarius.proof.required import RequiredRun
from armarius.runs.request import Authorisation

__all__ = ["LARGEST_ACCEPTANCE", "Judge", "Network", "Order", "Validation", "outcome_code"]

Network = Literal["none", "fetch", "sandbox", "full"]

LARGEST_ACCEPTANCE = 256 << 10


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted. `name` is a run or a commit of the repository at `repo`; `acceptance` stands in that file.

    `commands` have to be among what the judge runs, and we run them too. `oracle` are further paths that are the
    base's, `of_worker` such that are not. `network` is the most that may be had: with `fetch` we run the commands of
    `fetch` beforehand, `sandbox` lets the judge's commands out if need be, `full` takes the sandbox away, which needs
    an `authorisation`. `other` says what of the author's the judge's must not be, besides the thread.
    """

    name: str
    acceptance: str
    acceptance_file: Path | None = None
    commands: tuple[str, ...] = ()
    repo: Path | None = None
    base: str | None = None
    oracle: tuple[str, ...] = ()
    of_worker: tuple[str, ...] = ()
    as_json: bool = False
    scratch: bool = False
    network: Network = "none"
    fetch: tuple[str, ...] = ()
    authorisation: Authorisation | None = None
    other: frozenset[Literal["lane", "model"]] = frozenset()
    options: Options = Options()


class Judge(msgspec.Struct, frozen=True):
    """One judge's run, and what it was worth. `source` is who it says it is, `models` are those that were seen."""

    run: str
    thread_id: str | None
    lane: str
    models: tuple[str, ...]
    sandbox: str
    network: bool
    outcome: Outcome
    code: str
    reason: str
    source: str | None = None
    ours: tuple[RequiredRun, ...] = ()


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What came of judging (`armarius.validation.v1`).

    `commit` is the work, which began at `base`; `judged` is the commit that the judges had, with `restored` as it was
    in the base. `judges` are all that were asked, the last one decides. `same` says what the last judge shares with
    the author: `lane`, `model`. `signs` are places in the work's diff to look at.
    """

    id: str
    subject: str
    outcome: Outcome
    code: str
    reason: str
    commit: str
    base: str
    judged: str
    author: Author
    acceptance_sha256: str
    commands: tuple[str, ...]
    restored: tuple[Restored, ...]
    judges: tuple[Judge, ...]
    verdict: Verdict | None
    same: tuple[str, ...]
    signs: tuple[Sign, ...]
    file: str
    at: str
    schema: str = "armarius.validation.v1"


def outcome_code(outcome: Outcome) -> int:
    """The exit code of an outcome."""
    return {"PASS": 0, "FAIL": Failed.exit_code}.get(outcome, NoAnswer.exit_code)
