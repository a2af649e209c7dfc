"""Small faults put into a module, one at a time, and whether its tests notice.

Owns the faults and running tests against a module that has one. Does not own which survivors are right to survive.
Invariant: what is mutated is the source as it is on disk; nothing is written, and the true module is back afterwards.
"""

import ast
import copy
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

__all__ = ["Mutant", "mutants_of", "survives"]

_PATIENCE_S = 30
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
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


class Mutant:
    """A module with one fault; `name` says where and what, in words that stay when lines move."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.tree = tree


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module's functions."""
    tree = ast.parse(path.read_text())
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        counts: dict[str, int] = {}
        for node in ast.walk(function):
            for what, change in _changes(node):
                counts[what] = counts.get(what, 0) + 1
                number = f" #{counts[what]}" if counts[what] > 1 else ""
                undo = change()
                yield Mutant(f"{function.name}: {what}{number}", ast.fix_missing_locations(copy.deepcopy(tree)))
                undo()


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], Callable[[], None]]]]:
    """What can be done to a node: words for it, and doing it, which gives its undoing."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            yield _said(node), lambda: _set(node, "ops", [_COMPARISONS[type(op)]()])
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"{_said(node)} and/or", lambda: _set(node, "op", other)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _said(node), lambda: _drop_not(node, operand)
        case ast.If(test=test, body=body) if not isinstance(body[0], ast.Continue):
            yield f"if {_said(test)} never", lambda: _set(node, "test", ast.Constant(False))
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            yield f"{number} + 1", lambda: _set(node, "value", number + 1)
        case ast.BinOp(op=ast.Add()):
            yield f"{_said(node)} minus", lambda: _set(node, "op", ast.Sub())
        case ast.Call(func=ast.Attribute(value=value, attr="strip" | "rstrip" | "removesuffix" | "lstrip")):
            yield f"{_said(node)} as it is", lambda: _become(node, value)
        case ast.AugAssign(op=ast.Sub()):
            yield f"{_said(node)} plus", lambda: _set(node, "op", ast.Add())
        case _:
            return


def _said(node: ast.AST) -> str:
    return ast.unparse(node)[:60]


def _set(node: ast.AST, name: str, value: Any) -> Callable[[], None]:
    old = getattr(node, name)
    setattr(node, name, value)
    return lambda: setattr(node, name, old)


def _drop_not(node: ast.UnaryOp, operand: ast.expr) -> Callable[[], None]:
    """`not x` becomes `not not x`."""
    return _set(node, "operand", ast.UnaryOp(ast.Not(), operand))


def _become(node: ast.Call, value: ast.expr) -> Callable[[], None]:
    """A call becomes what it was made on, in parentheses of a kind: `str(x)`."""
    old = (node.func, node.args, node.keywords)
    node.func, node.args, node.keywords = ast.Name("str", ast.Load()), [value], []

    def undo() -> None:
        node.func, node.args, node.keywords = old

    return undo


def survives(mutant: Mutant, module: str, tests: Path) -> bool:
    """Whether every test of the file passes with the mutant in the module's place."""
    true = sys.modules[module]
    fake = ModuleType(module)
    fake.__dict__["__file__"] = true.__file__
    sys.modules[module] = fake
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_PATIENCE_S)
    try:
        exec(compile(mutant.tree, "mutant", "exec"), fake.__dict__)  # what is mutated is our own
        space: dict[str, Any] = {"__name__": "mutated_tests", "__file__": str(tests)}
        exec(compile(tests.read_text(), str(tests), "exec"), space)  # as above
        for call in _calls(space):
            call()
    except BaseException as error:  # whatever it is: it was noticed
        if isinstance(error, KeyboardInterrupt):
            raise
        return False
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        sys.modules[module] = true
    return True


def _calls(space: dict[str, Any]) -> list[Callable[[], object]]:
    """The tests, each with one set of arguments; what hypothesis tries comes last."""
    quick, slow = list[Callable[[], object]](), list[Callable[[], object]]()
    for name, test in space.items():
        if not name.startswith("test_"):
            continue
        if hasattr(test, "hypothesis"):
            slow.append(test)
            continue
        quick += [partial(test, **given) for given in _given(test)]
    return [*quick, *slow]


def _given(test: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{}]
    for mark in getattr(test, "pytestmark", []):
        if mark.name != "parametrize":
            continue
        names, values = mark.args[0], list(mark.args[1])
        split = (names,) if isinstance(names, str) and "," not in names else names
        if isinstance(names, str) and "," in names:
            split = tuple(name.strip() for name in names.split(","))
        each = [dict(zip(split, value if len(split) > 1 else (value,), strict=True)) for value in values]
        rows = [row | one for row in rows for one in each]
    return rows


def _too_long(_number: int, _frame: FrameType | None) -> None:
    pytest.fail("it does not end")
