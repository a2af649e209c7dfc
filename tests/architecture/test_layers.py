"""The order of the parts, and who may touch what.

Owns the rules, as the tables below; to change one is a decision (`docs/decisions/`). They are held
against the source, so that a module nobody imports is held to them too.
Invariant: every rule is shown able to fail, by a small bad source.
"""

import functools
import graphlib
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase, translate
from pathlib import Path
from typing import NamedTuple

import pytest

from support.source import Source, read_tree

PACKAGE = Path(__file__).parents[2] / "src" / "armarius"

ORDER = (
    *(
        "errors",
        "clock",
        "identity",
        "files",
        "budget",
        "settings",
        "redact",
        "visible",
        "fence",
        "signals",
        "programs",
        "foreground",
        "background",
        "calls",
    ),
    *("thread", "codex", "rollouts", "counts", "store", "sessions", "skills", "recorder", "watch"),
    *("checkout", "resources", "lanes", "proof", "runs", "sharing"),
    *(
        "dispatch",
        "batch",
        "audit",
        "memory",
        "artefacts",
        "workflows",
        "plans",
        "gate",
        "evolve",
        "testing",
        "doctor",
        "demo",
    ),
    *("web", "mcp_server", "install", "cli", "__main__"),
)
"""A part imports only from its left. `cli` stands last, because a command starts the other surfaces."""

SURFACES = ("web", "mcp_server", "install", "cli")

ONLY_FROM = {
    "settings": {"errors", "files", "budget"},
    "redact": {"errors", "files"},
    "gate": {"errors"},  # whoever doubts a verdict reads this part alone
}


class Rule(NamedTuple):
    """`names` (patterns, with what lies below them) may be used in `files` only."""

    names: tuple[str, ...]
    files: tuple[str, ...]
    reason: str


OWNERS = (
    Rule(
        ("subprocess", "pty", "os.system", "os.popen", "os.fork*", "os.exec*", "os.*spawn*", "asyncio.*subprocess*"),
        ("codex/*", "programs.py", "foreground.py", "background.py", "calls.py"),
        "one part starts Codex, one the short helpers, one the user's own, and all prove that nothing of them is left; "
        "the one in the background is a worker of ours, which ends by itself; calls are of our own commands",
    ),
    Rule(
        ("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"),
        ("settings.py", "codex/guard.py"),
        "one module reads the environment; the guard runs alone, and hands on the variables it inherits",
    ),
    Rule(("apsw", "psycopg"), ("store/*",), "one part opens databases, with one writer each"),
    Rule(("sqlite3",), (), "the host's SQLite may carry the WAL-reset bug; `store` brings its own"),
    Rule(("dbos", "sqlalchemy"), ("dispatch/engine.py",), "they cost start-up, and may be replaced"),
    Rule(("uvloop",), ("recorder/server.py",), "one module has the recorder's sockets"),
    Rule(("obstore",), ("store/objects.py",), "one module speaks to buckets, and checks every key"),
    Rule(("httptools",), ("recorder/readers.py",), "one module parses HTTP, and has no socket"),
    Rule(("mcp", "anyio"), ("mcp_server/server.py",), "one module speaks the protocol; it is an extra"),
    Rule(("arro3",), ("audit/parquet.py",), "one module writes tables; the library is an extra"),
    Rule(("opentelemetry", "google"), ("audit/otlp_post.py",), "one module speaks to collectors; they are an extra"),
    Rule(("click",), ("cli/*",), "only the command line knows about the command line"),
    Rule(
        ("armarius.testing",),
        ("testing/*", "demo/*", "cli/demo.py"),
        "fakes are for tests and the demonstration, never for work",
    ),
    Rule(
        ("importlib.import_module", "importlib.__import__"),
        ("cli/group.py", "testing/pattern.py"),
        "what is imported by a computed name escapes these rules",
    ),
)

STANDARD_LIBRARY_ONLY = ("codex/guard.py", "codex/hook_program.py")
"""They run as `python -I -S`, where nothing else can be imported."""

IN_FUNCTIONS = {
    ("cli/audit/export.py", "armarius.audit.otlp_post"): "the messages are an extra",
    ("cli/audit/export.py", "armarius.audit.parquet"): "the library is an extra, and takes 30 MB",
    ("cli/mcp.py", "armarius.mcp_server.server"): "the protocol is an extra, and takes a second",
    ("cli/worker.py", "armarius.dispatch.worker"): "DBOS takes a second, which help and schemas need not wait for",
    ("codex/daemon.py", "armarius.codex.unix_websocket"): "40 ms and 13 MB that only a living daemon is worth",
    ("sharing/holding.py", "armarius.sharing.getting"): "40 ms that only a run with something to hold should pay",
    ("sharing/servers.py", "armarius.codex.mcp"): "30 ms that only a run with such a need should pay",
    ("sharing/wish.py", "armarius.sharing.following"): "as `getting`, for who follows somebody's session",
    ("sharing/wish.py", "armarius.sharing.getting"): "as above",
    ("errors.py", "difflib"): "3 ms that only the way to an error should pay",
    ("evolve/judge.py", "re2"): "only judges with a pattern load the engine",
    ("skills/document.py", "difflib"): "only showing a proposal needs it",
    ("skills/front.py", "ruamel.yaml"): "130 ms that only a reader of skills should pay",
    ("skills/front.py", "ruamel.yaml.error"): "as above",
    ("store/ledger.py", "armarius.store.postgres"): "psycopg is an extra, and slow to load",
}
"""Imports that wait until they are needed, each with its reason. All others stand at the top."""

SQL = re.compile(
    r"^\s*(select\s.*\sfrom\s|insert\s+(or\s+\w+\s+)?into\s|update\s+\S+\s+set\s|delete\s+from\s"
    r"|with\s+\w+\s+as\s*\(|(create|drop|alter)\s+(table|index|view|trigger)\s|pragma\s|attach\s+database\s)",
    re.IGNORECASE | re.DOTALL,
)

SOURCES = read_tree(PACKAGE)


def part_of(module: str) -> str:
    """The part a dotted name lies in: `armarius.codex.guard` in `codex`."""
    words = module.split(".")
    return words[1] if len(words) > 1 else ""


def violations(source: Source) -> list[str]:
    """Everything in one module that a table above forbids."""
    return [*_order(source), *_owners(source), *_standard_library(source), *_in_functions(source), *_sql(source)]


def _order(source: Source) -> Iterator[str]:
    if not source.module.startswith("armarius."):
        return
    part = part_of(source.module)
    if part not in ORDER:
        yield f"`{part}` has no place in the order"
        return
    allowed = ONLY_FROM.get(part, set(ORDER[: ORDER.index(part)]))
    if part in SURFACES and part != "cli":
        allowed = allowed.difference(SURFACES)
    for name in sorted({found.name for found in source.imports()}):
        if name.startswith("armarius.") and name != "armarius.__version__":
            other = part_of(name)
            if other != part and other not in allowed:
                yield f"`{part}` may not import `{other}`"


def _owners(source: Source) -> Iterator[str]:
    strange = [rule for rule in OWNERS if not any(fnmatchcase(source.path, file) for file in rule.files)]
    for name in sorted(source.names()):
        for rule in strange:
            if _covers(rule.names).match(name):
                yield f"`{name}` is for {', '.join(rule.files) or 'nobody'}: {rule.reason}"


@functools.cache
def _covers(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for the names that fit a pattern, or lie below one that does."""
    return re.compile("|".join(translate(one) for pattern in patterns for one in (pattern, f"{pattern}.*")))


def _standard_library(source: Source) -> Iterator[str]:
    if source.path in STANDARD_LIBRARY_ONLY:
        for found in source.imports():
            if found.module.split(".")[0] not in sys.stdlib_module_names:
                yield f"`{found.module}` is not in the standard library"


def _in_functions(source: Source) -> Iterator[str]:
    for found in source.imports():
        if found.in_function and (source.path, found.module) not in IN_FUNCTIONS:
            yield f"`{found.module}` is imported inside a function, without a reason in IN_FUNCTIONS"


def _sql(source: Source) -> Iterator[str]:
    if part_of(source.module) in SURFACES:
        for text in source.texts():
            if SQL.match(text):
                yield f"a surface holds SQL: {text.strip()[:40]!r}"


def cycles(sources: list[Source]) -> list[str]:
    """The modules of one ring of imports, or nothing. Imports in functions close no ring."""
    modules = {source.module for source in sources}
    graph: dict[str, set[str]] = {}
    for source in sources:
        names = [found.name for found in source.imports() if not found.in_function]
        graph[source.module] = {
            module for name in names for module in (name, name.rpartition(".")[0]) if module in modules
        } - {source.module, "armarius"}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_every_module_keeps_to_the_rules() -> None:
    assert {source.path: complaints for source in SOURCES if (complaints := violations(source))} == {}


def test_no_ring_of_modules_imports_itself() -> None:
    assert cycles(SOURCES) == []


def test_every_reason_for_a_late_import_still_has_its_import() -> None:
    late = {(source.path, found.module) for source in SOURCES for found in source.imports() if found.in_function}
    assert set(IN_FUNCTIONS) - late == set()


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("clock.py", "from armarius.identity import new_id", "`clock` may not import `identity`"),
        ("settings.py", "import armarius.clock", "`settings` may not import `clock`"),
        ("redact.py", "from armarius.settings import load", "`redact` may not import `settings`"),
        ("thread.py", "from armarius import codex", "`thread` may not import `codex`"),
        ("codex/home.py", "from ..store import ledger", "`codex` may not import `store`"),
        ("store/ledger.py", "def f():\n    from armarius.dispatch import runner", "may not import `dispatch`"),
        ("gate/decision.py", "from armarius.clock import Clock", "`gate` may not import `clock`"),
        ("evolve/night.py", "from armarius.cli.output import say", "`evolve` may not import `cli`"),
        ("web/app.py", "from armarius.mcp_server import tools", "`web` may not import `mcp_server`"),
        ("helpers.py", "", "`helpers` has no place in the order"),
        ("dispatch/pool.py", "import subprocess", "`subprocess` is for codex/*, programs.py"),
        ("testing/model.py", "from subprocess import run as go", "`subprocess.run` is for codex/*, programs.py"),
        ("cli/run.py", "import os\nos.execvp('codex', ['codex'])", "`os.execvp` is for codex/*, programs.py"),
        ("watch/feed.py", "import asyncio as a\na.create_subprocess_exec('x')", "is for codex/*, programs.py"),
        ("codex/home.py", "import os as o\nprint(o.environ['HOME'])", "`os.environ` is for settings.py"),
        ("cli/doctor.py", "from os import getenv", "`os.getenv` is for settings.py"),
        ("sessions/index.py", "import apsw.bestpractice", "`apsw.bestpractice` is for store/*"),
        ("runs/records.py", "from psycopg.rows import dict_row", "is for store/*"),
        ("store/sqlite.py", "import sqlite3", "`sqlite3` is for nobody"),
        ("dispatch/runner.py", "from dbos import DBOS", "`dbos.DBOS` is for dispatch/engine.py"),
        ("store/database.py", "import sqlalchemy.engine", "is for dispatch/engine.py"),
        ("doctor.py", "import click", "`click` is for cli/*"),
        ("cli/run.py", "from armarius.testing.clock import FakeClock", "is for testing/*"),
        ("evolve/night.py", "import importlib\nimportlib.import_module('x')", "escapes these rules"),
        ("codex/guard.py", "import msgspec", "`msgspec` is not in the standard library"),
        ("codex/guard.py", "from armarius.errors import HostError", "is not in the standard library"),
        ("files.py", "def f():\n    import json", "`json` is imported inside a function"),
        (
            "files.py",
            "class A:\n    async def f(self):\n        if self:\n            import json",
            "inside a function",
        ),
        ("cli/runs.py", "q = 'SELECT id FROM run'", "a surface holds SQL: 'SELECT id FROM run'"),
        ("cli/runs.py", "q = f'''\n  delete from run where id = {x}'''", "a surface holds SQL"),
        ("web/app.py", "q = 'with ready as (select 1) select 2'", "a surface holds SQL"),
    ],
)
def test_a_bad_module_is_found_out(path: str, text: str, complaint: str) -> None:
    assert any(complaint in found for found in violations(Source(path, text)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("identity.py", "from armarius.clock import Clock"),
        ("codex/process.py", "import os, subprocess\nfrom armarius.codex import guard\nfrom . import binary"),
        ("codex/guard.py", "import os\nos.environ['X']"),
        ("gate/custody.py", "from armarius.errors import Refused\nfrom armarius.gate.decision import Gate"),
        ("cli/__init__.py", "from armarius import __version__\nfrom armarius.web import app\nimport click"),
        ("cli/demo.py", '"""Select an example from the list."""\nfrom armarius.testing import clock'),
        ("cli/runs.py", "def f():\n    '''Delete from the list.'''\n    return 'choose from selected runs'"),
        ("settings.py", "def load(environ):\n    return environ['HOME']"),
        ("files.py", "if True:\n    import json"),
    ],
)
def test_a_good_module_passes(path: str, text: str) -> None:
    assert violations(Source(path, text)) == []


def test_a_ring_is_found_out_and_a_late_import_is_none() -> None:
    one = Source("skills/one.py", "from armarius.skills import two")
    two = Source("skills/two.py", "from armarius.skills.one import name")
    late = Source("skills/two.py", "def f():\n    from armarius.skills.one import name")
    assert set(cycles([one, two])) == {"armarius.skills.one", "armarius.skills.two"}
    assert cycles([one, late]) == []
