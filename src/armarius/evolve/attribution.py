"""Which edit of a candidate does what.

Owns leaving out each edit in turn. Does not own the decision: it is made before, and is not changed by this.
Invariant: what is compared are the same tasks, those which the whole candidate won; a number is a mean over replays
that have a score, and None where there is none.
"""

from collections.abc import Sequence

from armarius.evolve.bench import Bench
from armarius.evolve.held_out import Candidate
from armarius.evolve.propose import edit_line
from armarius.evolve.records import EvidenceRow
from armarius.evolve.replay import Lab, request_for, trial_of
from armarius.evolve.report import Share
from armarius.skills.document import Document
from armarius.skills.edit import Edit, apply_edits

__all__ = ["MOST_APART", "shares_of"]

MOST_APART = 4
"""On so many tasks at most."""


def shares_of(
    bench: Bench,
    lab: Lab,
    base: Document,
    *,
    edits: Sequence[Edit],
    candidate: Candidate,
    evidence: Sequence[EvidenceRow],
) -> tuple[Share, ...]:
    """The share of each edit; nothing to tell apart when there is one."""
    won = [row for row in evidence if row.baseline is not None and (row.candidate or 0) > row.baseline]
    names = list(dict.fromkeys(row.task for row in won if row.task in candidate.held_out))[:MOST_APART]
    if len(edits) <= 1 or not names:
        return ()
    scores = [row.candidate for row in evidence if row.task in names and row.candidate is not None]
    whole = sum(scores) / len(scores)
    texts = [apply_edits(base, [*edits[:n], *edits[n + 1 :]], len(edits)).document.render() for n in range(len(edits))]
    tasks = [candidate.held_out[name] for name in names]
    jobs = [(task, text, n) for n, text in enumerate(texts) for task in tasks]
    requests = [request_for(lab, task, text, arm=f"without-{n + 1}", replicate=1) for task, text, n in jobs]
    found: list[list[float]] = [[] for _ in edits]
    for (task, _, n), result in zip(jobs, bench.all(requests, "attribute"), strict=True):
        value = trial_of(task, result, lab.look).valued(candidate.metric)
        if value is not None:
            found[n].append(value)
    means = [sum(values) / len(values) if values else None for values in found]
    return tuple(Share(edit_line(edit), len(tasks), whole, mean) for edit, mean in zip(edits, means, strict=True))
