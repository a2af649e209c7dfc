"""A run that only reads: its prompt is all it gets, and a schema binds its answer.

Owns the world of such a run and its paid key. Does not own what is asked (`reflect`, `rubric`).
Invariant: read-only, an empty folder, no skill and no tool of ours, so that material in the prompt that
speaks to the model has nothing to do harm with.
"""

from typing import Any

from armarius.codex.home import make_private_home
from armarius.evolve.replay import Lab
from armarius.files import private_folder
from armarius.identity import hash_bytes, hash_value
from armarius.runs.request import RunRequest
from armarius.thread import Sandbox

__all__ = ["reading_request"]


def reading_request(lab: Lab, kind: str, prompt: str, schema: dict[str, Any], *, of: str | None = None) -> RunRequest:
    """The run that reads `prompt`; `of` tells readings of one text apart that are paid for separately."""
    facts = {"experiment": lab.experiment, kind: hash_bytes(prompt.encode())}
    key = hash_value(facts if of is None else facts | {"of": of})
    world = private_folder(lab.folder / key.removeprefix("sha256:")[:24])
    return RunRequest(
        role="reflection",
        prompt=prompt,
        cwd=str(private_folder(world / "project")),
        sandbox=Sandbox.READ_ONLY.flag,
        home=str(private_folder(world / "home")),
        codex_home=str(make_private_home(world / "codex", lab.owner)),
        tools_path=lab.search_path,
        deadline_s=lab.deadline_s,
        model=lab.model,
        effort=lab.effort,
        schema=schema,
        lean=True,
        paid_key=key,
        environ=lab.environ,
    )
