"""The durable engine: DBOS, seen by nobody else.

Owns handing a run's id to DBOS, having it come back in a thread of ours until it was carried through, and
what DBOS believes. Does not own a run: the ledger does, and whatever is said here is mended from it.
Invariant: a workflow's id is the run's, and it carries nothing but that id. Losing every table of DBOS
loses no run. A server that is away is a HostError, as where the ledger meets it.

Five things are done differently from DBOS's defaults, each for a reason that was seen to bite
(docs/decisions/0007):

* On SQLite a transaction begins with BEGIN IMMEDIATE, or two processes count the same free place. The
  journal is a rollback journal: the bug that damages WAL files (SQLite before 3.51.3) cannot touch it.
* An executor is one process and never another one.
* Who is gone is decided by our ledger, and taken over by `recover`, again and again, not once at start.
* The application's version is ours, or every edit of this file would strand what is waiting.
* DBOS looks into the queue at our pace: often while something was offered to it, else hardly ever. Its own
  pace is one for both, and a worker without work would use a tenth of a processor.

DBOS is one per process, and so is an Engine.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, Queue, SetWorkflowID
from dbos._queue import queue_worker_thread
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from armarius.errors import HostError

__all__ = ["FINAL", "Engine", "Known", "sqlite_engine"]

FINAL = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
"""What DBOS calls a workflow that it will not touch again."""

_NAME = "armarius"
_VERSION = "1"
"""Of what a workflow means; raised when an older worker must not take a newer one's."""

_SCHEMA = "armarius_queue"
_POLL_S = 0.05
_IDLE_S = 2.0
"""So long the queue may go unseen while we have offered nothing: what others put into it is taken up then."""

_OPEN = ["ENQUEUED", "PENDING"]
_MOST = 10_000


class Known(msgspec.Struct, frozen=True):
    """A workflow as DBOS has it."""

    run_id: str
    state: str
    executor: str | None
    queue: str | None


class Engine:
    """DBOS for one worker. `place` is a file or a `postgresql://` address; `carry` does one run, in a thread."""

    def __init__(
        self, place: Path | str, *, executor: str, queue: str, jobs: int, carry: Callable[[str], object]
    ) -> None:
        self._place = place
        self._executor = executor
        self._queue = queue
        self._jobs = jobs
        self._carry = carry
        self._workflow: Any = None
        self._pace = _Pace()

    def start(self) -> None:
        """Take runs from the queue from now on, to the end of the process: DBOS has nothing that needs an end."""
        try:
            self._launch()
        except DatabaseError as error:
            DBOS.destroy()
            if not isinstance(self._place, Path):
                raise _lost(error) from error
            # Nothing in it is not in the ledger, too.
            self._place.replace(self._place.with_name(f"{self._place.name}.damaged"))
            self._launch()

    def enqueue(self, run_id: str) -> None:
        """Have a run carried, once; nothing changes when DBOS knows it."""
        with _reaching(), SetWorkflowID(run_id):
            DBOS.enqueue_workflow(self._queue, self._workflow, run_id)

    def expect(self, *, is_waiting: bool) -> None:
        """Say whether something of ours waits in the queue: DBOS looks at once, and often; else now and then."""
        self._pace.set(is_hurried=is_waiting)

    def known(self, run_ids: Iterable[str]) -> dict[str, Known]:
        """What DBOS has of these runs."""
        wanted = list(run_ids)
        return {found.run_id: found for found in _listed(workflow_ids=wanted)} if wanted else {}

    def open(self) -> list[Known]:
        """What waits or is being carried in this queue."""
        return _listed(queue_name=self._queue, status=_OPEN)

    def over(self) -> list[Known]:
        """What DBOS is done with in this queue, and still keeps."""
        return _listed(queue_name=self._queue, status=sorted(FINAL))

    def forget(self, run_ids: Iterable[str]) -> None:
        """Take workflows out of DBOS, whatever state they are in."""
        wanted = list(run_ids)
        if wanted:
            with _reaching():
                DBOS.delete_workflows(wanted)

    def recover(self, executors: Iterable[str]) -> int:
        """Put back in their queues what executors that are gone had taken; how many there were."""
        gone = [executor for executor in executors if executor != self._executor]
        # The public way, `resume_workflow`, has no executor predicate: it can steal what runs.
        recover = DBOS._recover_pending_workflows  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        with _reaching():
            return len(recover(gone)) if gone else 0

    def _launch(self) -> None:
        is_file = isinstance(self._place, Path)
        url = f"sqlite:///{self._place}" if is_file else str(self._place).replace("postgres://", "postgresql://", 1)
        engine = sqlite_engine(self._place) if isinstance(self._place, Path) else None
        DBOS.migrate(url, schema=_SCHEMA)
        # Before the launch: a queue that comes later is found only a second later.
        client = DBOSClient(
            system_database_url=url,
            system_database_engine=engine,
            dbos_system_schema=_SCHEMA,
            application_name=_NAME,
        )
        queue = client.register_queue(self._queue, worker_concurrency=self._jobs, polling_interval_sec=_POLL_S)
        client.destroy()
        config: DBOSConfig = {
            "name": _NAME,
            "system_database_url": url,
            "executor_id": self._executor,
            "application_version": _VERSION,
            "dbos_system_schema": _SCHEMA,
            "log_level": "ERROR",
            "run_migrations": False,
            "sys_db_pool_size": 5,
            "max_executor_threads": self._jobs + 8,
            "scheduler_polling_interval_sec": 3600.0,  # ours are in the ledger
            "notification_listener_polling_interval_sec": 60.0,  # nobody sends any
            "use_listen_notify": False,
        }
        if engine is not None:
            config["system_database_engine"] = engine
        dbos = DBOS(config=config)
        carry = self._carry

        @DBOS.workflow(name="armarius.run")
        def carried(run_id: str) -> None:
            carry(run_id)

        self._workflow = carried
        DBOS.listen_queues([])
        DBOS.launch()
        threading.Thread(target=_look, args=(self._pace, dbos, queue), name="queue", daemon=True).start()


class _Pace:
    """What DBOS's look into a queue takes for the event that ends it, and waits for between two looks."""

    def __init__(self) -> None:
        self._hurried = threading.Event()

    def set(self, *, is_hurried: bool) -> None:
        if is_hurried:
            self._hurried.set()
        else:
            self._hurried.clear()

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float) -> bool:
        """`timeout` is `_POLL_S`, or more where the database is contended."""
        if self._hurried.is_set():
            time.sleep(timeout)
        else:
            self._hurried.wait(_IDLE_S)
        return False


def _look(pace: _Pace, dbos: DBOS, queue: Queue) -> None:
    """Take what waits in the queue, to the end of the process."""
    while True:
        with contextlib.suppress(SQLAlchemyError):  # the server is away; DBOS itself survives most of that
            queue_worker_thread(pace, dbos, queue)  # pyright: ignore[reportArgumentType]: it asks for no more
        time.sleep(_IDLE_S)


def _listed(**wanted: Any) -> list[Known]:
    with _reaching():
        rows = DBOS.list_workflows(load_input=False, load_output=False, limit=_MOST, **wanted)
    return [Known(row.workflow_id, str(row.status), row.executor_id, row.queue_name) for row in rows]


@contextlib.contextmanager
def _reaching() -> Generator[None]:
    """HostError for a database that is away; DBOS tries again by itself what it thinks worth it."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise _lost(error) from error


def _lost(error: SQLAlchemyError) -> HostError:
    why = str(error).partition("\n")[0]
    return HostError("ledger-lost", f"the queue's database: {why}", "check that it can be reached and written")


def sqlite_engine(path: Path) -> sa.Engine:
    """SQLite as DBOS needs it, and as it does not open it itself."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None, "timeout": 30})

    def opened(connection: Any, _record: object) -> None:
        for pragma in ("journal_mode=TRUNCATE", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", opened)
    event.listen(engine, "begin", begun)
    return engine
