"""What a Python source imports and names, read without running it.

Owns the reading. Does not own the rules about it (`architecture/test_layers.py`).
Invariant: a name is given in full, whatever it is called locally: after `import os as o`,
`o.environ` is `os.environ`, and after `from os import environ`, `environ` is too.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Import", "Source", "read_tree"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Import(NamedTuple):
    """`from MODULE import …` or `import MODULE`; `name` also holds what is taken out of it."""

    module: str
    name: str
    local: str
    in_function: bool


class Source(NamedTuple):
    """A module of the package, by its path inside it, e.g. `codex/guard.py`."""

    path: str
    text: str

    @property
    def module(self) -> str:
        parts = ["armarius", *Path(self.path).with_suffix("").parts]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def imports(self) -> list[Import]:
        return list(self._imports(_parsed(self.text), in_function=False))

    def names(self) -> set[str]:
        """Everything that is imported, and every attribute that is reached from an import."""
        imports = self.imports()
        known = {found.local: found.name for found in imports}
        chains = (_chain(node) for node in ast.walk(_parsed(self.text)) if isinstance(node, ast.Attribute))
        reached = {".".join([known[root], *rest]) for root, *rest in chains if root in known}
        return reached | {found.name for found in imports}

    def texts(self) -> Iterator[str]:
        """Every string in the code, also the fixed parts of f-strings; docstrings are not code."""
        tree = _parsed(self.text)
        documents = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, _DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
                yield node.value

    def _imports(self, node: ast.AST, *, in_function: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    root = alias.name.split(".")[0]
                    yield Import(alias.name, alias.name if alias.asname else root, alias.asname or root, in_function)
                    if not alias.asname and root != alias.name:
                        yield Import(alias.name, alias.name, alias.name, in_function)
            elif isinstance(child, ast.ImportFrom):
                module = self._absolute(child)
                for alias in child.names:
                    yield Import(module, f"{module}.{alias.name}", alias.asname or alias.name, in_function)
            yield from self._imports(child, in_function=in_function or isinstance(child, _FUNCTIONS))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = ["armarius", *Path(self.path).parent.parts]
        return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def read_tree(package: Path) -> list[Source]:
    return [Source(path.relative_to(package).as_posix(), path.read_text()) for path in sorted(package.rglob("*.py"))]


@functools.cache
def _parsed(text: str) -> ast.Module:
    """Several questions are asked of each module."""
    return ast.parse(text)


def _chain(node: ast.AST) -> list[str]:
    """`a.b.c` as its words; what does not begin with a plain name begins with nothing."""
    if isinstance(node, ast.Attribute):
        return [*_chain(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else [""]
