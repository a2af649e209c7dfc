"""`armarius memory`, as somebody types it, and a run that is told what is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from armarius.testing.conversation import Conversation
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply, Say
from support.run_world import script
from support.terminal import Terminal

Check = Callable[[Any], None]


def test_from_a_note_to_a_run_that_is_told_it(
    terminal: Terminal, model: ModelServer, codex_wheel: Path, check: Check
) -> None:
    terminal.environ |= {"ARMARIUS_CODEX": str(codex_wheel)}
    assert terminal.type("memory", "list").out.startswith("Nothing is remembered")
    kept = terminal.type(
        "memory", "add", "deploy", "by the script in ops", "--type", "constraint", "--expires", "30d", "--json"
    )
    check(kept.answer)
    assert kept.answer["notes"][0]["scope"] == f"repo:{terminal.project}"
    elsewhere = terminal.type("memory", "add", "deploy", "by hand", "--scope", "repo:/elsewhere", "--json").answer
    document = terminal.project / "notes.md"
    document.write_text("\ufeffThe deploy of the moon base is monthly.\n")
    check(terminal.type("memory", "add", "--file", "notes.md", "--json").answer)
    found = terminal.type("memory", "search", "deploy", "--json").answer
    check(found)
    assert [note["kind"] for note in found["notes"]] == ["constraint", "chunk"]
    for words, code, word in (
        (("add", "k", "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"), 3, "memory-secret"),
        (("add", "k"), 2, "memory-what"),
        (("add", "k", "v", "--scope", "all"), 2, "scope"),
        (("add", "k", "v", "--expires", "soon"), 2, "expires"),
        (("search", "??"), 2, "search-empty"),
        (("forget", "note_zz"), 3, "memory-unknown"),
        (("add", "k", b"\xff\xfe"), 3, "not-utf8"),
    ):
        done = terminal.type("memory", *words, "--json")
        assert (done.code, done.error["code"]) == (code, word), done
    say = script({"sh": "make -s test"}, {"say": "Done."})
    plain = terminal.type("run", say, "--json").answer
    assert "by the script" not in asked(model)
    told = terminal.type("run", "--with-memory", "deploy", f"Never touch the moon base. {say}", "--json").answer
    assert told["state"] == plain["state"] == "succeeded"
    assert "by the script in ops" in asked(model)
    assert "moon base is monthly" in asked(model)
    assert "by hand" not in asked(model)
    proposed = terminal.type("memory", "distill", told["thread_id"], "--keep", "--json").answer
    check(proposed)
    assert any(one["value"].endswith("Never touch the moon base") for one in proposed["notes"]), proposed
    gone = terminal.type("memory", "forget", elsewhere["notes"][0]["id"], "--json").answer
    check(gone)
    assert len(gone["notes"]) == 1
    (terminal.project / "Makefile").write_text("")


def test_a_model_that_is_asked_is_held_against_the_session(terminal: Terminal, codex_wheel: Path, check: Check) -> None:
    terminal.environ |= {"ARMARIUS_CODEX": str(codex_wheel)}
    fact = {"kind": "fact", "key": "port", "value": "The port is 6543", "quote": "port of staging is 6543"}
    answer = json.dumps({"notes": [fact, fact | {"quote": "nobody said this at all"}]})

    def reply(conversation: Conversation) -> Reply:
        return Reply((Say(answer if "Propose notes" in conversation.task else "Noted."),))

    with ModelServer(reply) as server:
        terminal.serve(server)
        first = terminal.type("run", "The port of staging is 6543.", "--json").answer
        done = terminal.type("memory", "distill", first["thread_id"], "--ask", "--json")
        failing = terminal.type(
            "memory", "distill", first["thread_id"], "--ask", "--json", environ={"ARMARIUS_CODEX": "/no"}
        )
    check(done.answer)
    assert (done.answer["dropped"], done.answer["kept"]) == (1, False)
    assert [note["value"] for note in done.answer["notes"]] == ["The port is 6543"]
    assert terminal.type("memory", "list", "--json").answer["notes"] == []
    assert failing.code == 4


def asked(model: ModelServer) -> str:
    """All that the model's last conversation holds."""
    return json.dumps(model.records[-1].request()["input"])
