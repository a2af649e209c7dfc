"""Who reflects, when it is not Codex: an endpoint of the Responses API, or whoever answers a file.

Owns asking them once, and keeping what they said. Does not own what is asked (`reflect`), nor the way to an
endpoint (`endpoint`).
Invariant: an answer fits its schema or is none; one that was given is kept and never asked for again.
"""

import json
from pathlib import Path
from typing import Any, Protocol

from armarius.errors import DataError, NoAnswer
from armarius.evolve.endpoint import Endpoint
from armarius.evolve.report import Sent
from armarius.files import private_folder, read_bounded, write_atomic
from armarius.identity import hash_value
from armarius.runs.answer import check_answer

__all__ = ["Handoff", "Responses", "Thinker"]

_LARGEST = 4 << 20
_MOST_TOKENS = 16_000


class Thinker(Protocol):
    """Somebody who answers a prompt within a schema; `sent` is what went to them."""

    sent: list[Sent]

    def ask(self, prompt: str, schema: dict[str, Any]) -> Any:
        """The answer as JSON; NoAnswer when there is none yet."""
        ...


class Handoff:
    """Writes what would be asked to a folder, and reads the answer back from there."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self.sent: list[Sent] = []

    def ask(self, prompt: str, schema: dict[str, Any]) -> Any:
        name = _name(prompt, schema)
        question, shape = self._folder / f"{name}.prompt.md", self._folder / f"{name}.schema.json"
        answer = self._folder / f"{name}.answer.json"
        if not answer.exists():
            write_atomic(question, prompt.encode())
            write_atomic(shape, json.dumps(schema, indent=2).encode())
            raise NoAnswer(
                "handoff-pending",
                f"an answer is waited for: {question}",
                f"write JSON that fits {shape.name} to {answer}, then run the same command again",
            )
        return _fitting(read_bounded(answer, _LARGEST).decode(errors="replace"), schema, str(answer))


class Responses:
    """A model behind an endpoint of the Responses API. What it answers is kept in `folder`."""

    def __init__(self, endpoint: Endpoint, *, model: str, folder: Path) -> None:
        self._endpoint = endpoint
        self._model = model
        self._folder = private_folder(folder)
        self.sent: list[Sent] = []

    def ask(self, prompt: str, schema: dict[str, Any]) -> Any:
        kept = self._folder / f"{_name(f'{self._endpoint.address} {self._model} {prompt}', schema)}.answer.json"
        if kept.exists():
            return _fitting(read_bounded(kept, _LARGEST).decode(errors="replace"), schema, str(kept))
        shape = {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}
        body = {
            "model": self._model,
            "input": prompt,
            "max_output_tokens": _MOST_TOKENS,
            "text": {"format": shape},
        }
        said = self._endpoint.ask(body)
        self.sent.append(Sent(self._endpoint.address, self._model, "reflection", 1, said.usage.total))
        parsed = _fitting(said.text, schema, self._endpoint.address)
        write_atomic(kept, said.text.encode())
        return parsed


def _name(prompt: str, schema: dict[str, Any]) -> str:
    return hash_value({"prompt": prompt, "schema": schema}).removeprefix("sha256:")[:24]


def _fitting(text: str, schema: dict[str, Any], where: str) -> Any:
    parsed, reason = check_answer(text, schema)
    if reason is not None:
        raise DataError("answer", f"{where}: {reason}", "mend the answer, or ask again without it")
    return parsed
