"""GEPA on one skill; runs in the environment of the peers.

Owns asking `gepa.optimize` with its own adapter, reflection prompt and defaults; the model is behind the Responses
API at `url`, and gets a skill in the form in which our own replays hand it over. Does not own the judge: each answer
is printed as a line of JSON, and its score and feedback are read from a line of standard input.
Invariant: nothing but those lines, and the result at the end, goes to standard output.

    python drive_gepa.py '{"url": …, "skill": …, "train": […], "val": […], "budget": 100, "seed": 1}'
"""

import json
import sys
from http.client import HTTPConnection
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

__all__ = ["main"]

_SKILL = "<skill>\n<name>writer</name>\n<path>skills/writer/SKILL.md</path>\n{}\n</skill>"


def main(asked: dict[str, Any]) -> dict[str, Any]:
    gepa: Any = import_module("gepa")  # only in the peers' environment
    default: Any = import_module("gepa.adapters.default_adapter.default_adapter")
    pipe, sys.stdout = sys.stdout, sys.stderr  # it writes its progress there

    def answered(texts: list[str]) -> str:
        body = {"model": "scripted", "stream": False, "input": [{"role": "user", "content": text} for text in texts]}
        connection = HTTPConnection(urlsplit(str(asked["url"])).netloc, timeout=60)
        connection.request("POST", "/v1/responses", json.dumps(body), {"Content-Type": "application/json"})
        output = json.load(connection.getresponse())["output"]
        connection.close()
        return "".join(part["text"] for item in output for part in item["content"])

    def worked(messages: list[dict[str, str]]) -> str:
        return answered([_SKILL.format(messages[0]["content"]), messages[1]["content"]])

    def reflected(prompt: Any) -> str:
        return answered([prompt if isinstance(prompt, str) else prompt[-1]["content"]])

    def judged(data: dict[str, Any], response: str) -> Any:
        pipe.write(json.dumps({"task_id": data["additional_context"]["task_id"], "answer": response}) + "\n")
        pipe.flush()
        said = json.loads(sys.stdin.readline())
        return default.EvaluationResult(score=said["score"], feedback=said["feedback"])

    def rows(side: str) -> list[dict[str, Any]]:
        return [
            {"input": one["task"], "additional_context": {"task_id": one["task_id"]}, "answer": ""}
            for one in asked[side]
        ]

    result = gepa.optimize(
        seed_candidate={"skill": asked["skill"]},
        trainset=rows("train"),
        valset=rows("val"),
        task_lm=worked,
        evaluator=judged,
        reflection_lm=reflected,
        max_metric_calls=asked["budget"],
        seed=asked["seed"],
    )
    sys.stdout = pipe
    return {"skill": result.best_candidate["skill"], "candidates": len(result.candidates)}


if __name__ == "__main__":
    print(json.dumps({"result": main(json.loads(sys.argv[1]))}))
