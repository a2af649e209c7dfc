"""A stand-in for `codex exec`: one question to the model, one answer, and the records of both.

Owns as little of Codex as a night needs: its flags, its events, its session file. Does not own what is answered:
it asks the Responses endpoint that `config.toml` names, as Codex does, so that calls are counted in one place.
Invariant: no tools, no sandbox, no retries; standard library alone, as its start-up is part of what is measured.

    codex exec [--json] [-C DIR] [-s SANDBOX] [-o FILE] [--output-schema FILE] - | -- PROMPT
"""

import json
import os
import socket
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["VERSION", "session"]

VERSION = "0.169.0"
_HELP = (
    "--json --sandbox --ephemeral --output-schema --skip-git-repo-check --thread-source --ignore-rules --color --cd "
    "--model --config --output-last-message"
)
_WITH_VALUE = {
    "-C": "cd", "--cd": "cd", "-s": "sandbox", "--sandbox": "sandbox", "-o": "last", "--output-last-message": "last",
    "-m": "model", "--model": "model", "-c": "config", "--config": "config", "--color": "color",
    "--output-schema": "schema", "--thread-source": "thread_source",
}  # fmt: skip


def main(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(f"codex-cli {VERSION}")
        return 0
    if "--help" in argv:
        print(_HELP)
        return 0
    given, prompt = _read(argv[1:])
    prompt = sys.stdin.read() if prompt in ("-", "") else prompt
    thread = _uuid7()
    _emit({"type": "thread.started", "thread_id": thread}, given)
    _emit({"type": "turn.started"}, given)
    answer, usage, response = _ask(prompt, thread, given.get("schema"))
    text = session(
        thread,
        cwd=given.get("cd", str(Path.cwd())),
        prompt=prompt,
        answer=answer,
        usage=usage,
        response=response,
        sandbox=given.get("sandbox", "read-only"),
        source="exec",
        thread_source=given.get("thread_source", "user"),
    )
    folder = Path(os.environ["CODEX_HOME"], "sessions", time.strftime("%Y/%m/%d", time.gmtime()))
    folder.mkdir(parents=True, exist_ok=True)
    name = f"rollout-{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}-{thread}.jsonl"
    (folder / name).write_text(text, encoding="utf-8")
    if "last" in given:
        Path(given["last"]).write_text(answer, encoding="utf-8")
    _emit({"type": "item.completed", "item": {"id": "item_0", "type": "agent_message", "text": answer}}, given)
    spent = {name: usage[name] for name in ("input_tokens", "cached_input_tokens", "output_tokens")}
    _emit({"type": "turn.completed", "usage": spent | {"reasoning_output_tokens": 0}}, given)
    return 0


def session(
    thread: str,
    *,
    cwd: str,
    prompt: str,
    answer: str,
    usage: dict[str, int],
    response: str,
    sandbox: str = "read-only",
    source: str = "cli",
    thread_source: str = "user",
) -> str:
    """The session file of one turn, in the form of Codex 0.169."""
    now = time.time()
    turn = f"{thread[:-1]}{'1' if thread[-1] == '0' else '0'}"
    lines = list[str]()

    def line(kind: str, payload: dict[str, Any], after: float = 0.0) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now + after)) + ".000Z"
        lines.append(json.dumps({"timestamp": at, "ordinal": len(lines), "type": kind, "payload": payload}))

    def item(kind: str, word: str, text: str) -> None:
        said = {"type": kind, "id": f"{kind}{turn}", "content": [{"type": word, "text": text}]}
        said |= {"phase": "final_answer"} if kind == "AgentMessage" else {}
        line("event_msg", {"type": "item_completed", "thread_id": thread, "turn_id": turn, "item": said})

    meta = {"id": thread, "cwd": cwd, "source": source, "thread_source": thread_source, "history_mode": "paginated"}
    line("session_meta", meta | {"originator": "codex_cli_rs", "cli_version": VERSION, "model_provider": "s"})
    line("event_msg", {"type": "task_started", "turn_id": turn})
    policy = {"type": sandbox, "network_access": False}
    context = {"turn_id": turn, "cwd": cwd, "model": "gpt-5.5", "approval_policy": "never", "sandbox_policy": policy}
    line("turn_context", context)
    asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}
    line("response_item", asked)
    item("UserMessage", "text", prompt)
    item("AgentMessage", "Text", answer)
    line(
        "response_item", {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": answer}]}
    )
    line("token_usage_record", {"thread_id": thread, "turn_id": turn, "response_id": response, "usage": usage})
    line("event_msg", {"type": "task_complete", "turn_id": turn, "last_agent_message": answer}, 1.0)
    return "\n".join(lines) + "\n"


def _read(words: list[str]) -> tuple[dict[str, str], str]:
    """Flags by their names, and the prompt or `-`."""
    given, rest = dict[str, str](), iter(words)
    for word in rest:
        if word == "--":
            return given, next(rest, "-")
        name, has_value, value = word.partition("=")
        if name in _WITH_VALUE:
            given[_WITH_VALUE[name]] = value if has_value else next(rest)
        elif word == "--json":
            given["json"] = "yes"
        elif not word.startswith("-") or word == "-":
            return given, word
    return given, "-"


def _ask(prompt: str, thread: str, schema: str | None) -> tuple[str, dict[str, int], str]:
    """What the model says, what it cost, and the id of its response."""
    config = tomllib.loads(Path(os.environ["CODEX_HOME"], "config.toml").read_text(encoding="utf-8"))
    address = config["model_providers"][config["model_provider"]]["base_url"].removeprefix("http://")
    host, _, path = address.partition("/")
    asked: dict[str, Any] = {"model": "gpt-5.5", "prompt_cache_key": thread, "stream": True}
    asked["input"] = [*_skills(), {"type": "message", "role": "user", "content": [_text(prompt)]}]
    if schema is not None:
        asked["text"] = {"format": {"type": "json_schema", "schema": json.loads(Path(schema).read_bytes())}}
    body = json.dumps(asked).encode()
    head = f"POST /{path}/responses HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port))) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while not received.endswith(b"\r\n0\r\n\r\n"):
            part = connection.recv(1 << 16)
            if not part:
                raise ConnectionError("the model ended its stream too soon")
            received += part
    told = [json.loads(part[6:]) for part in received.split(b"\n") if part.startswith(b"data: ")]
    done = next(event["response"] for event in told if event["type"] == "response.completed")
    said = [part["text"] for item in done["output"] if item["type"] == "message" for part in item["content"]]
    counted = {name: done["usage"][name] for name in ("input_tokens", "output_tokens", "total_tokens")}
    return "".join(said), counted | {"cached_input_tokens": 0}, str(done["id"])


def _skills() -> list[dict[str, Any]]:
    """Every installed skill, as Codex sends one that the prompt names: so that one request is enough."""
    files = sorted(Path(os.environ["CODEX_HOME"], "skills").glob("*/SKILL.md"))
    texts = [f"<skill>\n<name>{one.parent.name}</name>\n<path>{one}</path>\n{one.read_text()}</skill>" for one in files]
    return [{"type": "message", "role": "user", "content": [_text(text)]} for text in texts]


def _text(text: str) -> dict[str, str]:
    return {"type": "input_text", "text": text}


def _emit(event: dict[str, Any], given: dict[str, str]) -> None:
    if "json" in given:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def _uuid7() -> str:
    stamp, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10).hex()
    return f"{stamp[:8]}-{stamp[8:]}-7{chance[:3]}-8{chance[3:6]}-{chance[6:18]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
