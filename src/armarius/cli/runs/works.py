"""What became of a run's work, as it is printed."""

from armarius.cli.output import print_json, say
from armarius.dispatch.works import RunWork

__all__ = ["print_work"]

_SHORT = 12


def print_work(work: RunWork, *, as_json: bool) -> None:
    """One line, or `armarius.run_work.v1`."""
    if as_json:
        print_json(work)
        return
    commit = work.commit or (work.merged.after if work.merged else None)  # somebody may have dropped it by now
    what = f"commit {commit[:_SHORT]}" if commit else "no work"
    where = (
        f" into {work.branch} ({work.merged.how})"
        if work.merged
        else f" as branch {work.branch}"
        if work.branch
        else ""
    )
    say(f"{work.run} {work.action}: {what}{where}")
