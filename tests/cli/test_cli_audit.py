"""`armarius audit ingest|report|export|prune`, on what real Codex printed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from armarius.testing.model_server import ModelServer
from support.terminal import ARMARIUS, Terminal

Check = Callable[[Any], None]


def test_what_codex_printed_is_taken_in_and_told(terminal: Terminal, model: ModelServer, check: Check) -> None:
    events = terminal.project / "events.jsonl"
    prompt = 'SCRIPT:[{"sh": "echo hi; exit 3"}, {"say": "all done"}]'
    ran = terminal.type("run", prompt, "--events", str(events), "--json").answer
    assert model.requests
    first = terminal.type("audit", "ingest", str(events), "--label", "one", "--json")
    check(first.answer)
    assert (first.code, first.answer["known"], first.answer["bad_lines"]) == (0, False, 0)
    with subprocess.Popen(["/bin/cat", str(events)], stdout=subprocess.PIPE) as piped:
        again = subprocess.run(
            [*ARMARIUS, "audit", "ingest", "-", "--json"],
            stdin=piped.stdout,
            env=terminal.environ,
            capture_output=True,
            check=True,
        )
    assert json.loads(again.stdout)["known"]
    events.unlink()
    report = terminal.type("audit", "report", "--json").answer
    check(report)
    (run,) = report["runs"]
    assert (run["thread_id"], run["status"], run["last_message"]) == (ran["thread_id"], "completed", "all done")
    assert [command["exit_code"] for command in run["commands"]] == [3]
    assert run["usage"]["input"] == ran["usage"]["input"]
    for form, begin in (("text", "Run of thread"), ("md", "# Runs"), ("html", "<!doctype html>")):
        out = terminal.type("audit", "report", "--run", "one", "--format", form).out
        assert out.startswith(begin)
        assert "all done" in out
    lines = terminal.type("audit", "export", "--run", "one", "--json").out.splitlines()
    for line in lines:
        check(json.loads(line))
    assert [json.loads(line)["line"] for line in lines] == list(range(1, len(lines) + 1))
    dry = terminal.type("audit", "prune", "--before", "0m", "--dry-run", "--json").answer
    check(dry)
    assert (len(dry["streams"]), dry["dry_run"]) == (1, True)
    assert terminal.type("audit", "export").out
    assert terminal.type("audit", "prune", "--before", "0m").code == 0
    assert (terminal.type("audit", "export").out, terminal.type("audit", "report").code) == ("", 0)


STREAM = (
    b'{"type":"thread.started","thread_id":"t-1"}\n{"type":"turn.started"}\n{"type":"item.completed","item":{"id":"0",'
    b'"type":"command_execution","command":"echo hi","aggregated_output":"","exit_code":0,"status":"completed"}}\n'
)


def test_what_was_taken_in_is_handed_on_and_checked(terminal: Terminal, check: Check) -> None:
    assert terminal.type("audit", "ingest", "-", stdin=STREAM).code == 0
    table, spans = terminal.project / "events.parquet", terminal.project / "spans.jsonl"
    done = terminal.type("audit", "export", "--format", "parquet", "-o", str(table), "--json").answer
    check(done)
    assert (done["runs"], done["rows"], table.read_bytes()[:4]) == (1, 3, b"PAR1")
    done = terminal.type("audit", "export", "--format", "otel", "-o", str(spans), "--json").answer
    check(done)
    (request,) = (json.loads(line) for line in spans.read_text().splitlines())
    names = [span["name"] for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert names == ["invoke_agent codex", "execute_tool shell"]
    assert "echo hi" not in spans.read_text()
    first_spans = spans.read_bytes()
    assert terminal.type("audit", "export", "--format", "otel", "-o", str(spans)).code == 0
    assert spans.read_bytes() == first_spans
    verified = terminal.type("audit", "verify", "--json").answer
    check(verified)
    assert (verified["is_intact"], verified["streams"]) == (True, 1)
    (kept,) = Path(terminal.environ["ARMARIUS_HOME"], "streams.sqlite.streams").glob("*.jsonl")
    data = kept.read_bytes()
    kept.write_bytes(data.replace(b"echo hi", b"echo ho"))
    changed = terminal.type("audit", "verify", "--json")
    assert (changed.code, [one["code"] for one in changed.answer["changes"]]) == (1, ["stream-edited"])
    kept.write_bytes(data)


def test_what_cannot_be_taken_in_is_said(terminal: Terminal, tmp_path: Path) -> None:
    none = terminal.type("audit", "report", "--json")
    assert (none.code, none.error["code"]) == (3, "streams-missing")
    for words, stdin, code in [
        (["gone.jsonl"], b"", "missing"),
        ([str(tmp_path)], b"", "not-a-file"),
        (["-"], b"", "stream-empty"),
        (["-"], b"\x1b[31mhello\n", "stream-strange"),
    ]:
        done = terminal.type("audit", "ingest", *words, "--json", stdin=stdin)
        assert (done.code, done.error["code"]) == (3, code)
    unknown = terminal.type("audit", "report", "--run", "x", "--json")
    assert (unknown.code, unknown.error["code"]) == (3, "stream-unknown")
    assert terminal.type("audit", "report", "--run", "x", "--latest").code == 2
    assert terminal.type("audit", "verify").code == 0, "a record without streams is whole"
    for words in (
        ["--format", "parquet"],
        ["--format", "otel"],
        ["--format", "otel", "-o", "x", "--to", "http://127.0.0.1:9"],
        ["--to", "http://127.0.0.1:9"],
    ):
        assert terminal.type("audit", "export", *words).code == 2
    (headers := tmp_path / "headers").write_text("Authorization: Bearer x\nno header, but my-secret\n")
    where = ["--to", "http://127.0.0.1:9", "--headers", str(headers)]
    done = terminal.type("audit", "export", "--format", "otel", *where, "--json")
    assert (done.code, done.error["code"], "my-secret" in str(done.error)) == (3, "headers", False)
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_record_of_one_s_own_is_no_one_else_s(terminal: Terminal, tmp_path: Path) -> None:
    db = str(tmp_path / "deep" / "own.sqlite")
    event = b'{"type":"thread.started","thread_id":"t-1"}\n{"type":"turn.started"}\n'
    assert terminal.type("audit", "ingest", "-", "--db", db, stdin=event).code == 0
    assert terminal.type("audit", "report", "--db", db, "--json").answer["runs"][0]["status"] == "open"
    assert terminal.type("audit", "report").code == 3
    assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o700
