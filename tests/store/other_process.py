"""What another process does with a ledger: `python other_process.py ACTION [PLACE]`.

It says a line when something has happened and waits for a line before it goes on.
"""

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path

from armarius.clock import SystemClock
from armarius.errors import ArmariusError
from armarius.store.database import Database
from armarius.store.ledger import append_event, open_ledger
from armarius.store.queries import load

DOMAIN = load(Path(__file__).parents[1] / "data" / "store" / "queries.sql")
NOBODY = 65534


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def opened(place: str) -> Database:
    return open_ledger(place, SystemClock())


def open_each() -> None:
    """Open every place that is named, as soon as it is named."""
    say("ready")
    for line in sys.stdin:
        try:
            opened(line.strip()).close()
            say("opened")
        except Exception as error:  # noqa: BLE001 (whatever it is, the test shows it)
            say(repr(error))


def claim(place: str) -> None:
    """Claim runs until none is left."""
    with contextlib.closing(opened(place)) as ledger:
        say("ready")
        sys.stdin.readline()
        while run := ledger.fetch_one(DOMAIN.claim_run):
            append_event(ledger, at_us=1, subject=run["id"], kind="claimed", body={})
            say(run["id"])


def count(place: str) -> None:
    """Read a number and write the next one, many times."""
    with contextlib.closing(opened(place)) as ledger:
        say("ready")
        sys.stdin.readline()
        for _ in range(100):
            with ledger.transaction():
                [row] = ledger.fetch(DOMAIN.counter)
                ledger.execute(DOMAIN.note, n=row["n"] + 1)
        say("done")


def stop_inside(place: str) -> None:
    """Stop between two statements of a transaction."""
    with contextlib.closing(opened(place)) as ledger, ledger.transaction():
        ledger.execute(DOMAIN.note, n=1)
        say("inside")
        sys.stdin.readline()
        ledger.execute(DOMAIN.note, n=2)


def stop_after(place: str) -> None:
    """Stop right after a transaction."""
    with contextlib.closing(opened(place)) as ledger:
        with ledger.transaction():
            ledger.execute(DOMAIN.note, n=1)
            ledger.execute(DOMAIN.note, n=2)
        say("after")
        sys.stdin.readline()


def report(place: str) -> None:
    """Try to open the ledger and write to it, and say how that went."""
    try:
        with contextlib.closing(opened(place)) as ledger:
            append_event(ledger, at_us=1, subject="run_a", kind="tried", body="x" * 100_000)
        say("written")
    except ArmariusError as error:
        say(f"{type(error).__name__} {error.exit_code} {error.code}: {error}")


def unprivileged(place: str) -> None:
    """The same as a user to whom the permissions of files apply."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    report(place)


def short_of_disk(place: str) -> None:
    """The same where no file may grow beyond 64 KiB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    opened(place).close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
    report(place)


def without_psycopg(place: str) -> None:
    """The same where the optional package is not installed."""
    sys.modules["psycopg"] = None  # pyright: ignore[reportArgumentType] (Python's own way to say "not there")
    report(place)


def imports(place: str) -> None:
    """Say which of our dependencies an open ledger has loaded."""
    opened(place).close()
    say(" ".join(sorted({"apsw", "psycopg", "importlib.resources", "sqlalchemy"} & set(sys.modules))))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
