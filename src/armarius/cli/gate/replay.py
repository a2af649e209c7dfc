"""`armarius gate replay`."""

from pathlib import Path

import click

from armarius.cli.output import print_json, print_table, say
from armarius.errors import DataError
from armarius.gate.recorded import Decisions, decide_recorded


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, file: Path, as_json: bool) -> int:
    """Decide the pairs in FILE (JSONL), each experiment for itself, in the order in which they stand.

    A line is {"experiment", "night", "task", "baseline", "candidate"}; a score is null where there was an
    error. `-` is standard input.
    """
    decisions = _decide(file)
    if as_json:
        print_json(decisions)
        return 0
    if not decisions.experiments:
        say("No pairs.")
        return 0
    rows = [
        (one.experiment, one.decision, f"{one.e_value:.2f}", str(one.pairs_used), str(one.pairs_ignored))
        for one in decisions.experiments
    ]
    print_table(("EXPERIMENT", "DECISION", "E", "PAIRS", "IGNORED"), rows)
    return 0


def _decide(file: Path) -> Decisions:
    try:
        with click.open_file(str(file), "rb") as stream:
            return decide_recorded(stream, "standard input" if str(file) == "-" else str(file))
    except OSError as error:
        raise DataError("file", f"cannot read {file}: {error.strerror}", "check the path") from error
