"""`armarius cache`, as somebody types it."""

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from support.terminal import Terminal

Check = Callable[[Any], None]


def test_from_a_miss_to_an_analysis_that_is_kept_and_pruned(terminal: Terminal, check: Check) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    shutil.rmtree(terminal.project / ".git")
    assert terminal.type("cache", "get", "--tool", "deps", "--json").error["code"] == "repository"
    subprocess.run(["git", "init", "-q"], cwd=terminal.project, check=True)
    assert terminal.type("cache", "get", "--tool", "deps", "--json").error["code"] == "no-commit"
    subprocess.run(["git", *who, "commit", "-qm", "1", "--allow-empty"], cwd=terminal.project, check=True)
    miss = terminal.type("cache", "get", "--tool", "deps", "--param", "depth=2", "--json")
    assert (miss.code, miss.error["code"]) == (6, "cache-miss")
    key = miss.error["message"].partition("(")[2].rstrip(")")
    put = ("cache", "put", "-", "--tool", "deps", "--param", "depth=2", "--expect", key, "--json")
    kept = terminal.type(*put, stdin=b"a -> b\n")
    check(kept.answer)
    assert kept.answer["artefacts"][0]["key"] == key
    found = terminal.type("cache", "get", "--tool", "deps", "--param", "depth=2", "--json").answer
    check(found)
    assert found["text"] == "a -> b\n"
    (terminal.project / "new").write_text("x")
    assert terminal.type(*put, stdin=b"late\n").error["code"] == "cache-moved"
    for words, stdin, word in (
        (("put", "-", "--tool", "t"), b"\xff", "encoding"),
        (("put", "-", "--tool", "t", "--param", "x"), b"", "param"),
        (("put", "nowhere", "--tool", "t"), b"", "missing"),
        (("put", "-", "--tool", ""), b"", "cache-key"),
    ):
        assert terminal.type("cache", *words, "--json", stdin=stdin).error["code"] == word
    assert "files: 1" in terminal.type("cache", "get", "--tool", "inventory").out
    listed = terminal.type("cache", "list", "--json").answer
    check(listed)
    assert [one["tool"] for one in listed["artefacts"]] == ["inventory", "deps"]
    assert len(terminal.type("cache", "prune", "--dry-run", "--json").answer["artefacts"]) == 2
    pruned = terminal.type("cache", "prune", "--json").answer
    check(pruned)
    assert terminal.type("cache", "list").out.startswith("Nothing is kept")
