"""Another holder of leases: `python lease_holder.py PLACE HOST SKEW_S LENGTH_S UNITS FOLDER`.

It says a line when something has happened and waits for a line before it goes on. `loop SEED [MOST]` acquires
and releases at random; while it holds a unit it has a lock on a file of that name, which the kernel
takes away when the process is gone and which nobody else may have then. HOST may be `here`.
"""

import contextlib
import fcntl
import os
import random
import select
import sys
from pathlib import Path

import msgspec

from armarius.clock import SystemClock
from armarius.errors import Refused
from armarius.resources.leases import Busy, Held, Leases, Units, owner_of
from armarius.store.ledger import open_ledger


class SkewedClock(SystemClock):
    """A machine whose wall clock is wrong."""

    def __init__(self, skew_us: int) -> None:
        self._skew_us = skew_us

    def now_us(self) -> int:
        return super().now_us() + self._skew_us


class Order(msgspec.Struct):
    """The arguments."""

    place: str
    host: str
    skew_s: float
    length_s: float
    units: str
    folder: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.units.split(","))

    @property
    def length_us(self) -> int:
        return int(self.length_s * 1_000_000)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(order: Order) -> None:
    me = owner_of(os.getpid())
    assert me
    if order.host != "here":
        boot_id = order.host if "://" in order.place else me.boot_id
        me = msgspec.structs.replace(me, host=order.host, boot_id=boot_id)
    clock = SkewedClock(int(order.skew_s * 1_000_000))
    with contextlib.closing(open_ledger(order.place, clock)) as ledger:
        leases = Leases(ledger, clock, me)
        held: Held | Busy | None = None
        say("ready")
        for line in sys.stdin:
            verb, *words = line.split()
            if verb == "loop":
                loop(leases, order, random.Random(words[0]), int(words[1]) if words[1:] else 2)
                continue
            held = step(leases, order, verb, held)


def step(leases: Leases, order: Order, verb: str, held: Held | Busy | None) -> Held | Busy | None:
    """One act, and how it went."""
    try:
        if verb == "acquire":
            held = leases.acquire([Units("gpu", order.names)], length_us=order.length_us)
            say("busy" if isinstance(held, Busy) else f"held {held.leases[0].unit} {held.leases[0].token}")
            return held
        assert isinstance(held, Held)
        if verb == "renew":
            held = leases.renew(held)
        elif verb == "check":
            leases.check(held.leases)
        elif verb == "release":
            leases.release(held.leases)
        say("done")
    except Refused as error:
        say(f"refused {error.code}")
    return held


def loop(leases: Leases, order: Order, chance: random.Random, most: int) -> None:
    """Acquire, hold for a moment, and release, until standard input says `stop`."""
    while not select.select([sys.stdin], [], [], 0)[0]:
        held = leases.acquire([Units("gpu", order.names, chance.randint(1, most))], length_us=order.length_us)
        if isinstance(held, Busy):
            select.select([], [], [], 0.01)
            continue
        with contextlib.ExitStack() as stack:
            for lease in held.leases:
                file = stack.enter_context(Path(order.folder, lease.unit).open("a"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    say(f"violation {lease.unit} {lease.token}")
            select.select([], [], [], chance.random() / 200)
            if chance.random() < 0.3:
                leases.renew(held)
        leases.release(held.leases)
        say("turn " + " ".join(f"{lease.unit}#{lease.token}" for lease in held.leases))
    say("stopped")


if __name__ == "__main__":
    main(msgspec.convert(dict(zip(Order.__struct_fields__, sys.argv[1:], strict=True)), Order, strict=False))
