"""A host of its own that does one run: `python run_host.py ADDRESS FOLDER BINARY PROMPT LENGTH_S`.

It has a scripted model on its own loopback and a ledger on a server; it says when it holds what the run needs, and
how the run ended. A line on its standard input lets it begin.
"""

import contextlib
import sys
from pathlib import Path

import msgspec

from armarius.clock import SystemClock
from armarius.codex.binary import Binary
from armarius.dispatch.carrying import carry
from armarius.dispatch.runner import Runner
from armarius.errors import HostError
from armarius.sharing.site import Site
from armarius.store.ledger import open_ledger
from armarius.testing.model_server import ModelServer
from support.run_world import World


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(address: str, folder: Path, binary: Binary, prompt: str, length_s: float) -> None:
    clock = SystemClock()
    with ModelServer() as server, contextlib.closing(open_ledger(address, clock)) as ledger:
        world = World(folder, binary, server).build()
        site = Site(
            reopen=lambda: open_ledger(address, clock, patience_ms=1000),
            beat_s=length_s / 6,
            length_us=int(length_s * 1_000_000),
        )
        runner = Runner(ledger, clock, world.state / "runs", binary, world.environ, site=site)
        request = world.request(prompt, "workspace-write", needs=("lic",), add_dirs=(str(folder.parent / "shared"),))
        request = msgspec.structs.replace(request, deadline_s=300)
        say("ready")
        sys.stdin.readline()
        held = runner.obtain(request)
        [token] = [lease.token for lease in held.leases if lease.resource == "lic"]
        say(f"held {token}")
        begun = runner.begin(request, held)
        judged = runner.judge(begun, begun.attempt.wait())
        result = judged.result
        went = f"{result.failed_commands} of {result.commands} failed"
        say(f"ended {result.problem.code if result.problem else went}")
        sys.stdin.readline()
    while True:  # the server may have been out of reach
        try:
            with contextlib.closing(open_ledger(address, clock)) as ledger:
                again = Runner(ledger, clock, world.state / "runs", binary, world.environ, site=site)
                say(f"recorded {carry(again, begun).state}")
                return
        except HostError:
            continue


if __name__ == "__main__":
    _, place, where, program, text, seconds = sys.argv
    main(place, Path(where), msgspec.json.decode(program, type=Binary), text, float(seconds))
