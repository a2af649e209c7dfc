"""A run that asks a person, as a test sees it from outside: what waits, answering, and what the ledger has of it."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import msgspec

from armarius.codex.binary import Binary
from armarius.codex.orders import Question
from armarius.dispatch.floor import Floor
from armarius.dispatch.keeper import Keeper
from armarius.runs.approvals import ANSWERED, ASKED, STEERED, waiting
from armarius.runs.records import QUERIES, RunRow
from armarius.store.database import Database
from armarius.store.ledger import events_of
from support.codex_world import wait_for
from support.run_world import World

__all__ = ["fake_codex", "floor_of", "only_run", "said", "until_asked"]


def only_run(world: World) -> tuple[str, Path]:
    """The one run that there is, once its folder is there: its id and its folder."""
    wait_for(lambda: any(world.state.glob("runs/run_*/1")), "run")
    [folder] = world.state.glob("runs/run_*")
    return folder.name, folder


def until_asked(folder: Path, number: int = 1, *, several: int = 1) -> list[Question]:
    """What a run waits for, once it waits for so many things."""
    wait_for(lambda: len(waiting(folder, number)) >= several, "question")
    return waiting(folder, number)


def floor_of(keeper: Keeper, run_id: str) -> Floor:
    row = keeper.ledger.fetch_one(QUERIES.run_by_id, RunRow, id=run_id)
    assert row is not None
    return Floor(keeper, row)


def said(ledger: Database, run_id: str) -> list[tuple[str, str, Any]]:
    """Kind, question and decision of everything that the ledger has of asking and answering."""
    found = list[tuple[str, str, Any]]()
    for event in events_of(ledger, run_id):
        if event.kind in (ASKED, ANSWERED, STEERED):
            body = json.loads(event.body)
            found.append((event.kind, body["id"], body.get("decision")))
    return found


_FAKE = """
import json, os, sys
given = json.loads({given!r})
def read():
    line = sys.stdin.readline()
    if not line: sys.exit(0)
    return json.loads(line)
def tell(**message):
    sys.stdout.write(json.dumps(message) + "\\n"); sys.stdout.flush()
def note(message):
    with open(given["log"], "a") as log: log.write(json.dumps(message) + "\\n")
THREAD, TURN = "01a1f8dc-b678-76e0-8319-c9bb383e41bc", "turn-1"
opened = dict(thread=dict(id=THREAD, sessionId=THREAD, cwd=os.getcwd(), status=dict(type="idle")), model="gpt-5.5",
    cwd=os.getcwd(), sandbox=dict(type="readOnly", networkAccess=False), approvalPolicy="on-request") | given["opened"]
started = False
while True:
    asked = read()
    note(asked)
    method = asked.get("method")
    if method == "initialize": tell(id=asked["id"], result=dict(userAgent="fake", codexHome="/fake"))
    elif method in ("thread/start", "thread/resume", "thread/fork"): tell(id=asked["id"], result=opened)
    elif method == "turn/start":
        tell(id=asked["id"], result=dict(turn=dict(id=TURN, status="inProgress")))
        tell(method="turn/started", params=dict(threadId=THREAD, turn=dict(id=TURN, status="inProgress")))
        for message in given["says"]:
            message.get("params", {{}}).update(threadId=THREAD, turnId=TURN)
            tell(**message)
    elif method in ("turn/steer", "turn/interrupt"):
        tell(id=asked["id"], result=dict(turnId=TURN))
        if method == "turn/interrupt":
            tell(method="turn/completed", params=dict(threadId=THREAD, turn=dict(id=TURN, status="interrupted")))
    elif "method" not in asked and asked["id"] == given["last"]:
        tell(method="turn/completed", params=dict(threadId=THREAD, turn=dict(id=TURN, status="completed")))
"""


def fake_codex(world: World, *says: dict[str, Any], last: object = None, **opened: Any) -> tuple[Binary, Path]:
    """An app-server that says so much once its turn has begun, and ends it when its request `last` is answered.

    `opened` is what it says of the thread otherwise than it was asked for. The file is what it was told.
    """
    program, log = world.folder / "fake-codex", world.folder / "told.jsonl"
    given = json.dumps({"says": says, "last": last, "opened": opened, "log": str(log)})
    program.write_text(f"#!{sys.executable} -IS\n{_FAKE.format(given=given)}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return msgspec.structs.replace(world.binary, path=str(program)), log
