"""A machine to type on, a scripted model for it, and the schemas that answers must fit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from armarius.testing.model_server import ModelServer
from support.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, private_home)


@pytest.fixture
def model(terminal: Terminal) -> Iterator[ModelServer]:
    """A scripted model that this machine's Codex speaks to."""
    with ModelServer() as server:
        terminal.serve(server)
        yield server


@pytest.fixture(scope="session")
def schema_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], jsonschema_rs.Validator]:
    """What `armarius schema NAME` prints, ready to hold answers against."""
    terminal = Terminal(tmp_path_factory.mktemp("schemas"), dict.fromkeys(_PLACES, "/nowhere"))
    known = dict[str, jsonschema_rs.Validator]()

    def validator(name: str) -> jsonschema_rs.Validator:
        if name not in known:
            done = terminal.type("schema", name)
            assert (done.code, done.err) == (0, "")
            known[name] = jsonschema_rs.validator_for(done.answer, offline=True)
        return known[name]

    return validator


@pytest.fixture(scope="session")
def check(schema_of: Callable[[str], jsonschema_rs.Validator]) -> Callable[[Any], None]:
    """Hold an answer against the schema that it names itself."""

    def fits(answer: Any) -> None:
        name: str = answer["schema"]
        assert name.startswith("armarius.")
        assert name.endswith(".v1")
        schema_of(name).validate(answer)

    return fits


_PLACES = ("HOME", "CODEX_HOME", "ARMARIUS_HOME", "XDG_CACHE_HOME")
