"""A model that answers without Codex: what is an answer, what is none, and what is asked for again."""

from pathlib import Path

import pytest

from armarius.errors import HostError
from armarius.evolve.directly import AnEndpoint, Question, why_beyond
from armarius.evolve.endpoint import Endpoint
from armarius.evolve.tasks import parse_rows
from armarius.testing.faults import parse_fault
from armarius.testing.model_server import ModelServer

QUESTION = Question("writer", '# Writer\n\nBegin the answer with "Ahoy".\n', "What is a ledger?", is_memory=False)


def asked(server: ModelServer, folder: Path, question: Question = QUESTION) -> AnEndpoint:
    somebody = AnEndpoint(Endpoint(server.base_url, "sk-none", wait=lambda _: None), "small")
    somebody.put(folder, question)
    return somebody


def test_an_answer_follows_the_text_and_is_on_disk_before_anybody_has_it(tmp_path: Path) -> None:
    with ModelServer() as server:
        first = asked(server, tmp_path).answer(tmp_path)
        assert first.text.startswith("Ahoy")
        assert (first.usage, first.responses) == (*server.usage.values(), 1)
        assert asked(server, tmp_path).answer(tmp_path) == first, "as by a process that was killed in between"
        assert server.requests == 1


@pytest.mark.parametrize(("fault", "requests", "responses"), [("incomplete", 1, 1), ("failed", 1, 1), ("500", 3, 0)])
def test_what_is_no_whole_answer_is_no_score_and_is_asked_for_again(
    tmp_path: Path, fault: str, requests: int, responses: int
) -> None:
    with ModelServer(faults=dict.fromkeys(range(1, requests + 1), parse_fault(fault))) as server:
        somebody = asked(server, tmp_path)
        reply = somebody.answer(tmp_path)
        assert (reply.text, bool(reply.why), reply.responses) == ("", True, responses)
        assert server.requests == requests
        assert somebody.answer(tmp_path).text.startswith("Ahoy")


def test_a_refused_key_ends_the_work_at_once(tmp_path: Path) -> None:
    with ModelServer(faults={1: parse_fault("401")}) as server, pytest.raises(HostError, match="answered 401"):
        asked(server, tmp_path).answer(tmp_path)
    assert server.requests == 1


BEYOND = [
    ('[{"op": "max_chars", "arg": 9}]', None),
    ('[{"op": "max_chars", "arg": 9}, {"op": "tool_not_called", "arg": "rm"}]', "a check is about tools"),
    ('[{"op": "file", "arg": {"path": "a.txt"}}]', "a check looks at files"),
    ('[{"op": "command", "arg": {"argv": ["true"]}}]', "a check looks at files"),
]


@pytest.mark.parametrize("is_hidden", [False, True])
@pytest.mark.parametrize(("checks", "why"), BEYOND)
def test_a_check_of_either_judge_that_needs_more_than_an_answer_is_beyond_them(
    checks: str, why: str | None, *, is_hidden: bool
) -> None:
    judge = f'{{"kind": "rule", "checks": {checks}}}'
    plain = '{"kind": "rule", "checks": [{"op": "contains", "arg": "a"}]}'
    row = f'{{"task_id": "t", "task": "x", "judge": {plain if is_hidden else judge}'
    row += f', "hidden_judge": {judge}}}' if is_hidden else "}"
    [task] = parse_rows(row.encode()).tasks
    assert why_beyond(task) == why
