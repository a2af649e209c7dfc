"""Mutants of the code that proves: how many of them do the tests of `tests/proof` find?

    python benchmarks/receipt_mutations.py [--files chain,contained,verify] [--workers 1] [--json FILE]

Each mutant changes one thing: a comparison, `and`/`or`, `not`, a whole number, a flag of `os.open`, a statement
that is left out. It runs in a copy of the tree, never in the tree itself. The exit code is 1 when one survives that
is not among the argued ones below.
"""

import argparse
import ast
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILES = {
    "chain": "src/armarius/proof/chain.py",
    "contained": "src/armarius/proof/contained.py",
    "verify": "src/armarius/audit/verify.py",
}
TESTS = {
    "chain": ("test_verify.py", "test_receipt_values.py"),
    "contained": ("test_contained.py",),
    "verify": ("test_verify.py",),
}
ARGUED: dict[tuple[str, str], str] = {
    ("chain", "above < upto -> LtE in `while above < upto:`"): "one more question, whose answer is empty and ends it",
    ("chain", "left out: os.fsync(descriptor) in `os.fsync(descriptor)`"): "only a power cut would show it",
    (
        "contained",
        (
            "without O_NOFOLLOW in `descriptor = os.open(parts[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL | "
            "os.O_NOFOLLOW, 0o600, dir_fd=folder)`"
        ),
    ): "O_EXCL follows no link either",
    ("contained", "1 -> 2 in `data = file.read(limit + 1)`"): "a byte more is read before it is found to be too many",
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


def try_one(original: Path, name: str, source: str) -> bool:
    """Whether the tests find this mutant."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as place:
        folder = Path(place)
        shutil.copytree(original / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for entry in original.iterdir():
            if entry.name != "src":
                (folder / entry.name).symlink_to(entry)
        (folder / FILES[name]).write_text(source)
        tests = [str(folder / "tests" / "proof" / test) for test in TESTS[name]]
        words = ["-x", "-q", "-n0", "-p", "no:randomly", "--rootdir", str(folder), "-c", str(folder / "pyproject.toml")]
        environ = dict(os.environ) | {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder / 'tests'}"}
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [sys.executable, "-m", "pytest", *words, *tests, "-k", "not swapped and not every_database"]
        try:
            done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0


def _try(kept: Path, job: tuple[str, str, str]) -> bool:
    is_found = try_one(kept, job[0], job[2])
    if not is_found:
        print(f"  survived: {FILES[job[0]]} {job[1]}", flush=True)
    return is_found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", default=",".join(FILES))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unchanged-") as place:
        kept = Path(place)
        shutil.copytree(ROOT / "src", kept / "src", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "tests", kept / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", kept)
        jobs = list[tuple[str, str, str]]()
        for name in asked.files.split(","):
            source = (kept / FILES[name]).read_text()
            if try_one(kept, name, source):
                print(f"the tests fail on {FILES[name]} as it is", file=sys.stderr)
                return 1
            jobs += [(name, words, ast.unparse(tree)) for words, tree in mutants(source)]
        with ThreadPoolExecutor(asked.workers) as pool:
            found = list(pool.map(partial(_try, kept), jobs))
    survivors = [(name, words) for (name, words, _), was_found in zip(jobs, found, strict=True) if not was_found]
    reasons = [ARGUED.get((name, words)) for name, words in survivors]
    open_ones = [one for one in reasons if one is None]
    argued = len(survivors) - len(open_ones)
    print(f"{len(jobs)} mutants, {sum(found)} found, {len(survivors)} survived, {argued} argued")
    for (name, words), reason in zip(survivors, reasons, strict=True):
        print(f"  {FILES[name]} {words}: {reason or 'NOT ARGUED'}")
    if asked.json:
        asked.json.write_text(json.dumps({"mutants": len(jobs), "found": sum(found), "survivors": survivors}))
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
