"""What Codex is answered when a turn ends, and in which form others get to see what was found."""

import json
import os
from pathlib import Path

import jsonschema_rs
import pytest

from armarius.clock import rfc3339
from armarius.plans.check import CheckReport, Repository
from armarius.plans.formats import as_github, as_sarif
from armarius.plans.hook import stop_reason

BEGAN_US = 1_800_000_000_000_000
_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_RESULT = {
    "type": "object",
    "required": ["message", "ruleId", "level", "locations"],
    "properties": {"message": _TEXT, "level": {"enum": ["none", "note", "warning", "error"]}},
}
_RULES = {"type": "array", "uniqueItems": True, "items": {"required": ["id"]}}
_DRIVER = {"type": "object", "required": ["name"], "properties": {"rules": _RULES}}
_RUN = {
    "type": "object",
    "required": ["tool"],
    "properties": {"tool": {"required": ["driver"], "properties": {"driver": _DRIVER}}, "results": {"items": _RESULT}},
}
SARIF = {
    "required": ["version", "runs"],
    "properties": {"version": {"const": "2.1.0"}, "runs": {"type": "array", "minItems": 1, "items": _RUN}},
}
"""The parts of the schema of SARIF 2.1.0 that apply here."""


def ask(**question: object) -> str:
    answer = stop_reason(json.dumps(question).encode())
    return json.loads(answer)["reason"] if answer else ""


def write(root: Path, name: str, at_us: int, text: str = "# Do a thing\n") -> None:
    path = root / "execplans" / name
    path.write_text(text)
    os.utime(path, ns=(at_us * 1_000, at_us * 1_000))


def rollout(folder: Path, *kinds: tuple[str, int]) -> str:
    """A session that began a minute before the turn does."""
    begun = rfc3339(BEGAN_US - 60_000_000)
    meta = {"id": "0193aaaa-0000-7000-8000-000000000001", "cwd": "/x", "timestamp": begun, "cli_version": "0.169.0"}
    lines: list[dict[str, object]] = [{"timestamp": begun, "type": "session_meta", "payload": meta}]
    for kind, at_us in kinds:
        payload = {"type": kind, "turn_id": "t1", "started_at": at_us // 1_000_000}
        lines.append({"timestamp": rfc3339(at_us), "type": "event_msg", "payload": payload})
    path = folder / "rollout-2027-01-15T08-00-00-0193aaaa-0000-7000-8000-000000000001.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_only_plans_that_were_written_to_since_the_turn_began_hold_it_up(repository: Path) -> None:
    write(repository, "before.md", BEGAN_US - 1_000_000)
    write(repository, "since.md", BEGAN_US + 1_000_000)
    session = rollout(repository, ("task_started", BEGAN_US))
    said = ask(cwd=str(repository), transcript_path=session)
    assert ("since.md" in said, "before.md" in said) == (True, False)
    begun = rollout(repository)
    said = ask(cwd=str(repository), transcript_path=begun)
    assert ("since.md" in said, "before.md" in said) == (True, True), "nothing says when the turn began"
    assert "before.md" in ask(cwd=str(repository), transcript_path="/nowhere")


def test_a_plan_that_was_given_up_holds_nobody_up(repository: Path) -> None:
    write(repository, "a.md", BEGAN_US, "# Do a thing\n\nAbandoned (2026-01-31 15:00Z), because nobody needs it\n")
    assert ask(cwd=str(repository)) == ""
    write(repository, "b.md", BEGAN_US, "x" * (2 << 20))
    assert "P00" in ask(cwd=str(repository)), "one that cannot be read does"


def test_a_turn_is_held_up_once(repository: Path) -> None:
    write(repository, "a.md", BEGAN_US)
    assert ask(cwd=str(repository), stop_hook_active=False)
    assert not ask(cwd=str(repository), stop_hook_active=True)


@pytest.mark.parametrize(
    "question", [b"", b"{", b"[]", b'{"cwd": 1}', b'{"cwd": "/nowhere"}', b'{"cwd": "\\u0000"}', b"[" * 100_000]
)
def test_nonsense_holds_nobody_up(question: bytes) -> None:
    assert stop_reason(question) == b""


def test_sarif_is_what_its_schema_says(repository: Path) -> None:
    write(repository, "a b%.md", BEGAN_US)
    report = CheckReport.of((Repository(repository).check(repository / "execplans" / "a b%.md"),))
    log = as_sarif(report)
    jsonschema_rs.validator_for(SARIF).validate(log)
    (run,) = log["runs"]
    assert [result["ruleId"] for result in run["results"]] == [found.rule for found in report.plans[0].findings]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        where = result["locations"][0]["physicalLocation"]
        assert where["artifactLocation"]["uri"] == "execplans/a%20b%25.md"
        assert where["region"]["startLine"] >= 1
    assert all(line.startswith("::") and "file=execplans/a b%25.md,line=" in line for line in as_github(report))
