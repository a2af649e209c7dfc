"""A batch at a desk: what every item is held against before the first one begins."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from armarius.batch.batch import Batch
from armarius.batch.file import Read, read_plan
from armarius.budget import Budget
from armarius.dispatch.api import Dispatch, open_dispatch
from armarius.errors import ArmariusError
from armarius.runs.records import latest_runs
from support.run_world import World, script


@contextmanager
def dispatch_in(world: World) -> Generator[Dispatch]:
    environ = {"HOME": str(world.home), "CODEX_HOME": str(world.codex_home), "ARMARIUS_HOME": str(world.state)}
    environ |= {"ARMARIUS_CODEX": world.binary.path, "PATH": "/usr/bin:/bin"}
    with open_dispatch(world.project, environ) as dispatch:
        yield dispatch


def read(world: World, *items: dict[str, Any]) -> Read:
    path = world.folder / "plan.jsonl"
    here = {"cwd": str(world.project)}
    path.write_text("\n".join(json.dumps(here | item if "id" in item else item) for item in items))
    return read_plan(path)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"sandbox": "danger-full-access"}, (5, "sandbox-danger")),
        ({"sandbox": "none"}, (2, "sandbox")),
        ({"config": {"model_provider": "other"}}, (5, "config-key")),
        ({"config": {"sandbox_mode": "workspace-write"}}, (5, "config-key")),
        ({"cwd": "nowhere"}, (3, "folder-missing")),
        ({"timeout": 1e9}, (2, "timeout")),
        ({"kind": "resume", "thread": "no-such-session"}, (3, "thread-unknown")),
        ({"kind": "fork", "thread": "run_0"}, (3, "run-unknown")),
        ({"kind": "review", "uncommitted": True}, (2, "review-target")),
        ({"prompt": " "}, (2, "prompt-empty")),
        ({"prompt": "x" * ((1 << 20) + 1)}, (3, "prompt-size")),
        ({"lane": "nobody"}, (2, "lane-unknown")),
        ({"profile": "missing"}, (3, "profile-missing")),
        ({"images": ["no.png"]}, (3, "image-missing")),
        ({"add_dirs": ["."]}, (2, "add-dir")),
        ({"sandbox": "workspace-write", "skip_git_check": True, "scope": ["../x"]}, (3, "scope")),
        ({"allow_commit": True, "sandbox": "workspace-write", "skip_git_check": True}, (5, "allow-commit")),
        ({"needs": ["nothing-of-that-name:1"]}, (3, "resource-unknown")),
        ({"needs": ["?"]}, (2, "need")),
        ({"after_session": "x"}, (2, "after")),
        ({"ephemeral": True, "budget": {"tokens": 5}}, (5, "budget-ephemeral")),
        ({"ephemeral": True, "approval": "on-request"}, (5, "approval-ephemeral")),
    ],
    ids=lambda value: str(value)[:100],
)
def test_everything_is_checked_before_anything_is_asked(
    world: World, wrong: dict[str, Any], code: tuple[int, str]
) -> None:
    with dispatch_in(world) as dispatch:
        plan = read(world, {"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"} | wrong)
        with pytest.raises(ArmariusError) as caught:
            Batch(dispatch, plan)
        assert (caught.value.exit_code, caught.value.code) == code, caught.value
        assert caught.value.message.startswith(f"{world.folder}/plan.jsonl:2 ('b'): ")
        assert latest_runs(dispatch.bench.ledger, most=5) == []
    assert world.server.requests == 0


def test_what_an_item_says_is_what_its_run_is_asked(world: World) -> None:
    wish = {"effort": "low", "timeout": 60, "budget": {"turns": 2}, "config": {"model_verbosity": "low"}}
    with dispatch_in(world) as dispatch:
        plan = read(world, {"budget": {"tokens": 9_000_000}}, {"id": "a", "prompt": script({"say": "a"})} | wish)
        report = Batch(dispatch, plan).go(Silent())
        assert report.state == "succeeded"
        [run] = latest_runs(dispatch.bench.ledger, most=5)
        asked = run.asked
    assert (asked.effort, asked.deadline_s, asked.budget.turns) == ("low", 60, 2)
    assert asked.config == {"model_verbosity": "low"}
    assert asked.pot is not None
    assert (asked.pot.name, asked.pot.budget) == (f"batch {plan.plan.id}", Budget(tokens=9_000_000))
    assert run.paid_key is not None
    assert run.paid_key.startswith(f"batch:{plan.plan.id}:a:")


class Silent:
    """Somebody who hears how a batch goes on and says nothing."""

    def started(self, item: str, run: str) -> None: ...

    def waits(self, item: str, why: str) -> None: ...

    def ended(self, end: object, result: object) -> None: ...

    def tick(self) -> None: ...
