"""The reflector must not be able to know what the worker obeys, or the demo proves nothing."""

import ast
import re
from pathlib import Path

import armarius.testing

FOLDER = Path(armarius.testing.__file__).parent
REFLECTOR = ("reflector", "pattern")
WORKER = (
    *("policy", "prose", "instance", "grammar", "grammar_values", "grammar_structure"),
    *("grammar_length", "grammar_tools", "grammar_wording", "english"),
)


def tree(name: str) -> ast.Module:
    return ast.parse((FOLDER / f"{name}.py").read_text())


def imports(name: str) -> set[str]:
    """The modules of ours that a module imports."""
    modules: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {module for module in modules if module.startswith("armarius")}


def constants(names: tuple[str, ...]) -> set[str]:
    """The string constants of some modules, without docstrings."""
    strings: set[str] = set()
    for name in names:
        documented = (ast.Module, ast.FunctionDef, ast.ClassDef)
        docs = {ast.get_docstring(n, clean=False) for n in ast.walk(tree(name)) if isinstance(n, documented)}
        strings |= {
            node.value
            for node in ast.walk(tree(name))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docs
        }
    return strings


def runs_of_words(strings: set[str], length: int) -> set[str]:
    runs: set[str] = set()
    for string in strings:
        words = re.findall(r"[a-z]{3,}", string.lower())
        runs |= {" ".join(words[at : at + length]) for at in range(len(words) - length + 1)}
    return runs


def test_neither_role_imports_the_other_or_a_common_helper() -> None:
    assert imports("reflector") == {"armarius.testing.pattern"}
    assert imports("pattern") == set()
    reached, todo = set[str](), {"policy"}
    while todo:
        name = todo.pop()
        reached.add(name)
        ours = {module.rpartition(".")[2] for module in imports(name) if "armarius.testing." in module}
        todo |= ours - reached
    assert not reached & set(REFLECTOR)
    assert set(WORKER) <= reached


def test_the_roles_share_no_phrase() -> None:
    reflector, worker = constants(REFLECTOR), constants(WORKER)
    assert len(reflector) > 30
    assert len(worker) > 100
    assert not {string for string in reflector & worker if len(string.split()) > 1}
    assert not runs_of_words(reflector, 3) & runs_of_words(worker, 3)


def test_neither_role_knows_the_benchmark() -> None:
    words = {word for text in constants((*REFLECTOR, *WORKER)) for word in re.findall(r"[a-z]{4,}", text.lower())}
    assert not words & {"risks", "confidence", "recommendation", "verdict", "brain"}
