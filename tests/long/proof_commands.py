"""What has to succeed, said to every command that starts a run."""

import json
from pathlib import Path

from armarius.testing.model_server import ModelServer
from support.run_world import script
from support.terminal import Terminal


def test_every_command_that_starts_a_run_knows_what_has_to_succeed(
    tmp_path: Path, private_home: dict[str, str], server: ModelServer
) -> None:
    terminal = Terminal(tmp_path, private_home)
    terminal.serve(server)
    first = terminal.type("run", "--json", "--require", "false", script({"say": "done"}))
    assert (first.code, first.answer["problem"]["code"]) == (1, "required-failed")
    thread = first.answer["thread_id"]
    again = terminal.type("resume", "--json", "--require", "true", thread, script({"say": "more"}))
    assert (again.code, [one["passed"] for one in again.answer["required"]]) == (0, [True])
    items = [
        {"id": "good", "prompt": script({"say": "x"}), "require": ["true"]},
        {"id": "bad", "prompt": script({"say": "y"}), "require": ["true", "false"]},
    ]
    (terminal.project / "work.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    assert terminal.type("batch", "work.jsonl").code == 1
    rows = terminal.type("runs", "list", "--json").answer["runs"]
    assert sorted((row["state"], row["error"]) for row in rows[:2]) == [
        ("failed", "required-failed"),
        ("succeeded", None),
    ]
    assert terminal.type("audit", "verify").code == 0
