"""A night's report as one HTML page that needs nothing else.

Owns the page and its plot. Does not own any number in it.
Invariant: every text of somebody else's is escaped, and shown with what hides in it; the page loads nothing, runs
nothing and links nowhere.
"""

import html
import math
from collections.abc import Sequence

from armarius.evolve.report import NightReport, tally
from armarius.gate.decision import DEFAULT, Pair, wealth_path
from armarius.visible import reveal

__all__ = ["PAGE", "page_of"]

PAGE = "report.html"

_STYLE = """\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
pre{overflow:auto;background:#f6f6f4;padding:1rem}.add{color:#17692b}.del{color:#a02020}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}
.warn{background:#fff3d6;padding:.5rem 1rem}svg{max-width:100%;height:auto}
"""
_WIDTH, _HEIGHT, _MARGIN = 640, 240, 40
_LEVELS = ((DEFAULT.adopt_at, "certified", "#17692b"), (DEFAULT.trial_at, "trial", "#8a6d00"), (1, "nothing", "#888"))
_LEAST, _MOST = 0.05, 100.0


def page_of(report: NightReport, changes: str) -> str:
    """The page; `changes` is the unified diff."""
    pairs = [Pair(pair.night, pair.task, pair.baseline, pair.candidate) for pair in report.pairs]
    verdict = f"The gate says {report.decision} ({report.reason}): e-value {report.e_value:.2f}"
    used = (
        f" after {report.pairs_used} pairs, {report.pairs_ignored} ignored, over {report.held_out_tasks} held-out "
        f"tasks. The reflector saw {report.train_tasks} others."
    )
    parts = [
        f"<h1>Night {report.number}: {_text(report.state)}</h1>",
        f"<p>{_text(report.target)}</p>",
        f"<p><strong>{_text(verdict)}</strong>{used}</p>",
    ]
    if report.caution:
        parts.append(f'<p class="warn">{_text(report.caution)}</p>')
    if report.decision == "ungated":
        parts.append('<p class="warn">The gate was off. Nobody has measured whether this helps.</p>')
    if report.shape_only:
        parts.append('<p class="warn">The held-out checks look at form alone.</p>')
    if report.capabilities:
        rows = [(one.kind, one.text) for one in report.capabilities]
        parts += ['<h2 class="warn">Asks for an explicit yes</h2>', _table(("kind", "what"), rows)]
    if changes:
        parts += ["<h2>Diff</h2>", _diff(changes)]
    if pairs:
        parts += ["<h2>Evidence</h2>", plot(wealth_path(pairs))]
        rows = [(task, *map(str, counts)) for task, counts in tally(report.pairs).items()]
        parts += ["<h2>Wins and losses</h2>", _table(("task", "wins", "losses", "ties", "errors"), rows)]
    if report.losses:
        parts.append(f'<p class="warn">{_text(" ".join(report.losses))}</p>')
    parts += _beside(report)
    if report.shares:
        rows = [(s.edit, f"{s.with_it:.2f}", _number(s.without_it)) for s in report.shares]
        parts += ["<h2>What each edit does</h2>", _table(("edit", "with it", "without it"), rows)]
    if report.rejected:
        parts += ["<h2>Not applied</h2>", _table(("edit",), [(edit,) for edit in report.rejected])]
    rows = [(s.to, s.model, s.purpose, str(s.runs), f"{s.tokens:,}") for s in report.sent]
    cost = (
        f"{report.runs} runs, {report.responses} model responses, {report.usage.total:,} tokens, "
        f"{report.duration_us / 1_000_000:.1f} s"
    )
    parts += ["<h2>Cost, and what was sent to whom</h2>", f"<p>{cost}</p>"]
    parts.append(_table(("to", "model", "for", "runs", "tokens"), rows))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Night {report.number}</title><style>\n{_STYLE}</style></head><body>\n" + "\n".join(parts)
    ) + "\n</body></html>\n"


def _beside(report: NightReport) -> list[str]:
    """The other candidates of the night, each with its evidence, and what became of some before it."""
    others = [one for one in report.candidates if one.candidate_hash != report.candidate_hash]
    parts = [f"<p>{_text(note)}</p>" for note in report.notes]
    for one in others:
        said = f"{one.id}, round {one.round}: {one.decision} ({one.reason}), e-value {one.e_value:.2f}"
        parts += [f"<h3>{_text(said)}</h3>", f"<p>{_text('; '.join(one.edits))}</p>"]
        if one.pairs:
            parts.append(plot(wealth_path(Pair(p.night, p.task, p.baseline, p.candidate) for p in one.pairs)))
    return ["<h2>Beside it</h2>", *parts] if parts else []


def plot(path: Sequence[float]) -> str:
    """The evidence pair by pair, on a scale of powers, with the levels of trial and certificate."""
    step = (_WIDTH - 2 * _MARGIN) / max(1, len(path) - 1)
    points = " ".join(f"{_MARGIN + n * step:.1f},{_height(value):.1f}" for n, value in enumerate(path))
    lines = "".join(
        f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{_height(level):.1f}" y2="{_height(level):.1f}" '
        f'stroke="{colour}" stroke-dasharray="4 4"/><text x="{_WIDTH - _MARGIN}" y="{_height(level) - 4:.1f}" '
        f'text-anchor="end" font-size="12" fill="{colour}">{word} ({level})</text>'
        for level, word, colour in _LEVELS
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="e-value after each of {len(path) - 1} pairs, '
        f'at last {path[-1]:.2f}">{lines}<polyline points="{points}" fill="none" stroke="#1a4f8b" stroke-width="2"/>'
        f'<text x="{_MARGIN}" y="{_HEIGHT - 8}" font-size="12">{len(path) - 1} pairs, e-value {path[-1]:.2f}</text>'
        "</svg>"
    )


def _height(value: float) -> float:
    low, high = math.log(_LEAST), math.log(_MOST)
    share = (math.log(min(max(value, _LEAST), _MOST)) - low) / (high - low)
    return _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)


def _diff(changes: str) -> str:
    kinds = {"+": "add", "-": "del"}
    lines = [
        f'<span class="{kinds[line[0]]}">{_text(line)}</span>' if line[:1] in kinds else _text(line)
        for line in changes.split("\n")
    ]
    return "<pre>" + "\n".join(lines) + "</pre>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    above = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    below = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{above}</tr>{below}</table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _text(text: str) -> str:
    return html.escape(reveal(text))
