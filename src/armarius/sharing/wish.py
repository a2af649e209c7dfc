"""What a wish says about trees, scopes and needs, checked before anything is claimed.

Owns the rules of these fields. Does not own getting any of it (holding.py, checkouts.py), nor what it takes to follow
somebody's session (following.py).
Invariant: a run that asks for something here that cannot be had is refused, never run without it.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.checkout import scopes
from armarius.clock import Clock
from armarius.errors import DataError, Refused, UsageError
from armarius.resources.needs import parse_needs
from armarius.runs.request import RunRequest
from armarius.settings import ResourceSpec
from armarius.sharing.checkouts import repository_of
from armarius.store.database import Database
from armarius.thread import Sandbox

__all__ = ["Sharing", "with_sharing"]


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """What a run shares with others and how: the fields of a request of the same names.

    `after` names a session whose work has to be over, `reviewed` who has looked at it: a run of `armarius review`, or
    a person.
    """

    checkout: bool = False
    base: str | None = None
    with_uncommitted: bool = False
    allow_commit: bool = False
    scope: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    after: str | None = None
    reviewed: str | None = None


def with_sharing(
    request: RunRequest,
    wish: Sharing,
    *,
    ledger: Database,
    clock: Clock,
    homes: Sequence[Path],
    resources: dict[str, ResourceSpec],
) -> RunRequest:
    """The request with what was wished for; UsageError, DataError or Refused when that may not be."""
    _check_trees(request, wish)
    needs = parse_needs(wish.needs)
    if needs:
        from armarius.sharing.getting import check_needs

        check_needs((need for need in needs if need.server is None), ledger, resources)
    whole = msgspec.structs.replace(
        request,
        checkout=wish.checkout,
        base=wish.base,
        with_uncommitted=wish.with_uncommitted,
        allow_commit=wish.allow_commit,
        scope=scopes.check(wish.scope),
        needs=tuple(map(str, needs)),
    )
    if wish.checkout or wish.scope:
        repo = repository_of(whole)
        if repo.top is None and not wish.checkout:
            raise DataError("scope", f"{request.cwd} has no working tree", "add --checkout")
        if wish.base is not None and repo.commit_of(wish.base) is None:
            raise DataError("base", f"{wish.base!r} is no commit there", "name a branch, tag or commit")
    if wish.after is None and wish.reviewed is None:
        return whole
    who = (wish.reviewed or "").strip()
    if wish.after is None or not who:
        raise UsageError("after", "--after and --reviewed go together", "say which session, and who looked at its work")
    from armarius.sharing.following import follow_session

    return follow_session(whole, wish.after, who, ledger=ledger, clock=clock, homes=homes)


def _check_trees(request: RunRequest, wish: Sharing) -> None:
    if request.sandbox == Sandbox.READ_ONLY.flag:
        flags = {"--checkout": wish.checkout, "--scope": wish.scope, "--allow-commit": wish.allow_commit}
        said = [flag for flag, value in flags.items() if value]
        if said:
            raise UsageError(
                "read-only", f"{said[0]} means nothing to a read-only run", "add --sandbox workspace-write"
            )
    if wish.checkout:
        return
    if wish.allow_commit:
        raise Refused(
            "allow-commit",
            "in a tree that others use an agent may not write to .git, whose hooks and settings run as you",
            "add --checkout",
        )
    for said, flag in ((wish.base, "--from"), (wish.with_uncommitted, "--with-uncommitted")):
        if said:
            raise UsageError("checkout", f"{flag} is about a checkout", "add --checkout")
