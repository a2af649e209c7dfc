"""A worker that dies between two writes: `python engine_other.py ORDER`, where ORDER is JSON.

It puts runs into the engine of a seat as a worker does. `how`: `enqueued` dies before any is taken, `taken`
as soon as one is in its hands, `pretended` has the engine believe that all were done, and ends.
"""

import os
import signal
import sys
import threading
from pathlib import Path

import msgspec

from armarius.dispatch.engine import FINAL, Engine


class Order(msgspec.Struct):
    place: str
    queue: str
    runs: list[str]
    how: str


def main(order: Order) -> None:
    taken = threading.Event()
    engine = Engine(
        order.place if "://" in order.place else Path(order.place),
        executor="executor-that-dies",
        queue=order.queue,
        jobs=4,
        carry=lambda _: taken.set() if order.how == "pretended" else die(),
    )
    engine.start()
    for run_id in order.runs:
        engine.enqueue(run_id)
    if order.how == "enqueued":
        die()
    while any(found.state not in FINAL for found in engine.known(order.runs).values()):
        taken.wait()
    os._exit(0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Order))
