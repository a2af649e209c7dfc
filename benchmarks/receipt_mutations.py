"""Mutants of the code that proves: how many of them do the tests of `tests/proof` find?

    python benchmarks/receipt_mutations.py [--files chain,contained,verify] [--workers 2] [--limit S] [--json FILE]

Each mutant changes one thing: a comparison, `and`/`or`, `not`, a whole number, a flag of `os.open`, a statement
that is left out. No file is changed: pytest is started once for a share of the mutants, makes its runs of real Codex
once, and is forked for each of them, so that a mutant costs what its tests cost. One that takes longer than the limit
is found. The exit code is 1 when one survives that is not among the argued ones below.
"""

import argparse
import ast
import copy
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    "chain": "src/armarius/proof/chain.py",
    "contained": "src/armarius/proof/contained.py",
    "verify": "src/armarius/audit/verify.py",
}
TESTS = {
    "chain": ("test_chain.py", "test_verify.py", "test_receipt_values.py"),
    "contained": ("test_contained.py",),
    "verify": ("test_chain.py", "test_verify.py"),
}
ARGUED: dict[tuple[str, str], str] = {
    ("chain", "above < upto -> LtE in `while above < upto:`"): "one more question, whose answer is empty and ends it",
    ("chain", "left out: os.close(descriptor) in `os.close(descriptor)`"): "it stays open until the process ends",
    ("chain", "left out: os.fsync(descriptor) in `os.fsync(descriptor)`"): "only a power cut would show it",
    (
        "contained",
        (
            "without O_NOFOLLOW in `descriptor = os.open(parts[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL | "
            "os.O_NOFOLLOW, 0o600, dir_fd=folder)`"
        ),
    ): "O_EXCL follows no link either",
    ("contained", "1 -> 2 in `data = file.read(limit + 1)`"): "a byte more is read before it is found to be too many",
    (
        "verify",
        "0 -> 1 in `since_us = began[0].applied_at_us if began else 0`",
    ): "there is such a row always, and no run ended within a microsecond of 1970",
    (
        "verify",
        "0 -> 1 in `count = sum(row.pruned_at_us is None for row in streams.since(0))`",
    ): "no stream was taken in within a microsecond of 1970",
    ("verify", '0 -> 1 in `raise OSError(0, "no regular file", str(path))`'): "the number is shown to nobody",
    (
        "verify",
        (
            "one.number > row.number > 0 -> GtE in `if run.ended_at_us is None or "
            "any(one.number > row.number > 0 for one in tried):`"
        ),
    ): "the receipt 0 is of a run that never had an attempt",
    (
        "verify",
        "0 -> 1 in `if [one for one in tried if one.number <= max(row.number, 0)] != list(receipt.attempts):`",
    ): "as above",
    ("verify", "1 -> 2 in `_CHUNK = 1 << 20`"): "the size of the pieces in which a file is read",
    (
        "verify",
        (
            "left out: yield Finding('run-gone', 'the ledger has no such run any more', row.run_id, row.seq) in "
            '`yield Finding("run-gone", "the ledger has no such run any more", row.run_id, row.seq)`'
        ),
    ): "the database itself refuses to remove a run that has a receipt",
    ("verify", "left out: os.close(descriptor) in `os.close(descriptor)`"): "what is no file stays open until the end",
}
"""Survivors that no test can find, each with the reason: (file, what was changed)."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPTIONAL_FLAGS = {"O_CLOEXEC", "O_NOCTTY"}
"""Flags that keep a descriptor to this process and its terminal, which no outcome shows."""


Change = Callable[[Any], None]


def mutants(source: str) -> Iterator[tuple[str, ast.Module]]:
    """Every tree that differs from this source in one place, with words for it."""
    tree, lines = ast.parse(source), source.splitlines()
    for place, node in enumerate(ast.walk(tree)):
        for words, change in _changes(node):
            other = copy.deepcopy(tree)
            change(list(ast.walk(other))[place])
            yield f"{words} in `{lines[getattr(node, 'lineno', 1) - 1].strip()}`", ast.fix_missing_locations(other)


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be changed at a place. A change is handed the same place of a copy."""
    match node:
        case ast.Compare(ops=operators):
            for number, operator in enumerate(operators):
                if type(operator) in COMPARISONS:
                    other = COMPARISONS[type(operator)]
                    yield f"{ast.unparse(node)} -> {other.__name__}", partial(_compare, number, other)
        case ast.BoolOp(op=ast.And()):
            yield f"{ast.unparse(node)} -> Or", partial(_set, "op", ast.Or())
        case ast.BoolOp():
            yield f"{ast.unparse(node)} -> And", partial(_set, "op", ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield f"{ast.unparse(node)} -> without not", _twice
        case ast.Constant(value=0 | 1 | -1 | 2 as value) if not isinstance(value, bool):
            yield f"{value} -> {value + 1}", partial(_set, "value", value + 1)
        case ast.BinOp(op=ast.BitOr(), right=ast.Attribute(attr=flag)) if flag not in OPTIONAL_FLAGS:
            yield f"without {flag}", partial(_set, "right", ast.Constant(0))
        case ast.Expr(value=ast.Yield() | ast.YieldFrom() | ast.Call()):
            yield f"left out: {ast.unparse(node)[:90]}", partial(_set, "value", ast.Constant(None))
        case ast.AugAssign(op=ast.Add()):
            yield f"left out: {ast.unparse(node)[:90]}", partial(_set, "value", ast.Tuple([], ast.Load()))
        case ast.AugAssign():
            yield f"left out: {ast.unparse(node)[:90]}", partial(_set, "value", ast.Constant(0))
        case _:
            pass


def _compare(number: int, other: type[ast.cmpop], node: ast.Compare) -> None:
    node.ops[number] = other()


def _set(name: str, value: object, node: ast.AST) -> None:
    setattr(node, name, value)


def _twice(node: ast.UnaryOp) -> None:
    node.operand = ast.UnaryOp(ast.Not(), node.operand)


def put_in(module: types.ModuleType, whole: ast.Module, mutant: ast.Module) -> None:
    """Let a module that others have imported from do what the mutant does, in this process."""
    [changed] = [new for old, new in zip(whole.body, mutant.body, strict=True) if ast.dump(old) != ast.dump(new)]
    made = ast.fix_missing_locations(ast.Module([changed], []))
    names = dict(vars(module))
    exec(compile(made, module.__file__ or "", "exec"), names)  # noqa: S102  # that is what a mutant is
    if isinstance(changed, ast.Assign | ast.AnnAssign):
        for name, before in list(vars(module).items()):
            for other in list(sys.modules.values()):
                if names[name] is not before and getattr(other, name, None) is before:
                    setattr(other, name, names[name])
        return
    assert isinstance(changed, ast.FunctionDef), "there is no other kind of mutant in these files"
    old, new = getattr(module, changed.name), names[changed.name]
    while hasattr(old, "__wrapped__"):
        old, new = old.__wrapped__, new.__wrapped__
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


class Trials:
    """Takes the place of pytest's loop: all tests as they are, and then once for each mutant in a fork."""

    def __init__(self, name: str, numbers: slice, limit_s: int) -> None:
        self._name, self._numbers, self._limit_s = name, numbers, limit_s
        self._has_failed = False
        self.survived = list[str]()
        self.tried = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._has_failed = self._has_failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        source = (ROOT / FILES[self._name]).read_text()
        module = importlib.import_module(FILES[self._name][4:-3].replace("/", "."))
        whole = ast.parse(source)
        if not self._passes(session):
            raise pytest.UsageError(f"the tests fail on {FILES[self._name]} as it is")
        for words, tree in list(mutants(source))[self._numbers]:
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                signal.alarm(self._limit_s)
                put_in(module, whole, tree)
                os._exit(not self._passes(session))
            status = os.waitpid(child, 0)[1]
            self.tried += 1
            if status == 0:
                self.survived.append(words)
            if os.WIFSIGNALED(status):
                self._passes(session)  # what it left behind is put right by the end of a test
        return True

    def _passes(self, session: pytest.Session) -> bool:
        """Whether all tests pass. What lives as long as the session is kept for the next time."""
        self._has_failed = False
        following = [*session.items[1:], session.items[0]]
        for item, after in zip(session.items, following, strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self._has_failed:
                return False
        return True


def try_share(name: str, share: int, shares: int, limit_s: int) -> int:
    """One process of pytest; what survived is its last line."""
    tests = [str(ROOT / "tests" / "proof" / test) for test in TESTS[name]]
    trials = Trials(name, slice(share, None, shares), limit_s)
    words = ["-q", "-p", "no:xdist", "--rootdir", str(ROOT), "-k", "not swapped and not every_database"]
    code = pytest.main([*words, *tests], plugins=[trials])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return int(code)
    print("\n" + json.dumps({"tried": trials.tried, "survived": trials.survived}))
    return 0


def in_a_process(limit_s: int, shares: int, job: tuple[str, int]) -> tuple[str, int, list[str]]:
    name, share = job
    environ = dict(os.environ) | {"PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        words = ["--share", f"{share}/{shares}", "--files", name, "--limit", str(limit_s)]
        done = subprocess.run(
            [sys.executable, __file__, *words], cwd=place, env=environ, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        print(done.stdout[-3_000:], done.stderr[-3_000:], file=sys.stderr)
        raise SystemExit(f"the trials of {FILES[name]} ended with {done.returncode}")
    told = json.loads(done.stdout.splitlines()[-1])
    return name, told["tried"], told["survived"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", default=",".join(FILES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int, default=20, help="seconds that a mutant may take")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--share", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.share:
        share, shares = map(int, asked.share.split("/"))
        return try_share(asked.files, share, shares, asked.limit)
    began = time.monotonic()
    jobs = [(name, share) for name in asked.files.split(",") for share in range(asked.workers)]
    with ThreadPoolExecutor(asked.workers) as pool:
        done = list(pool.map(partial(in_a_process, asked.limit, asked.workers), jobs))
    tried = sum(count for _, count, _ in done)
    survivors = [(name, words) for name, _, survived in done for words in survived]
    reasons = [ARGUED.get(one) for one in survivors]
    open_ones = reasons.count(None)
    took, left = time.monotonic() - began, len(survivors)
    print(f"{tried} mutants, {tried - left} found, {left} survived, {left - open_ones} argued; {took:.0f} s")
    for (name, words), reason in zip(survivors, reasons, strict=True):
        print(f"  {FILES[name]} {words}: {reason or 'NOT ARGUED'}")
    if asked.json:
        asked.json.write_text(json.dumps({"mutants": tried, "survivors": survivors}))
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
