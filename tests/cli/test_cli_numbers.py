"""What Python takes for a number and is none is no number on the command line."""

import pytest

from support.terminal import Terminal

ROWS = [
    ("watch --all --stall", "0<x<=10000000.0"),
    ("watch --all --timeout", "0<x<=10000000.0"),
    ("resources lease slot:1 --timeout", "0<x<=10000000.0"),
    ("resources lease slot:1 --expiry", "2<=x<=86400"),
    ("resources add x --kind containers --container c --most-cpu", "0<=x<=100000"),
    ("resources add x --kind gpu --most-utilisation", "0<=x<=100000"),
    ("proxy serve --reload-seconds", "5<=x<=86400"),
    ("proxy serve --snapshot-idle", "1<=x<=86400"),
    ("runs wait run_1 --timeout", "0<=x<=10000000.0"),
    ("run hi --wait", "0<=x<=10000000.0"),
    ("goal hi --done-when true --check-timeout", "0<x<=10000000.0"),
    ("memory add k v --confidence", "0<=x<=1"),
    ("gate plan --flips", "0<=x<=1"),
    ("sleep harvest --lookback-hours", "0<=x<=1000000"),
    ("sleep run --budget-minutes", "0<x<=10000000"),
    ("consult run_1 --finding x --timeout", "0<x<=10000000.0"),
    ("validate run_1 --acceptance x --timeout", "0<x<=10000000.0"),
    # The most is a setting, which says so in its own words.
    ("run hi --timeout", "0 and 3600 seconds"),
    ("goal hi --done-when true --max-turns 1 --timeout", "0 and 3600 seconds"),
]


@pytest.mark.parametrize(("typed", "within"), ROWS, ids=[row[0] for row in ROWS])
def test_what_cannot_be_compared_is_no_number(terminal: Terminal, typed: str, within: str) -> None:
    done = terminal.type(*typed.split(), "nan", "--json")
    assert (done.code, done.out, within in done.error["message"]) == (2, "", True), done.err
