"""A tool counts as called when it was called, and not when that is said, echoed or forged."""

import json
from typing import Any

import pytest

from armarius.evolve.judge import Judge, ToolCalled
from armarius.evolve.tasks import Task
from support.score_bench import ScoreBench
from support.terminal import Terminal

SKILL = b"---\nname: it\ndescription: d\n---\n"
FIFO = "$(sed -n 's/.* > //p' \"$(command -v search)\")"
"""The witness, as an agent finds it that reads the tool."""

DEEDS: dict[str, tuple[list[dict[str, Any]], bool, bool]] = {
    # what the model does, whether it counts, whether the witnesses disagree
    "a call": ([{"sh": "search key risks"}], True, False),
    "a call in a pipe": ([{"sh": "search key risks | head -1 && echo done"}], True, False),
    "the second of two calls": ([{"sh": "ls"}, {"sh": "cd / && FOO=1 search risks"}], True, False),
    "nothing": ([], False, False),
    "said": ([{"say": "I ran `search` and it found nothing.", "phase": "commentary"}], False, False),
    "echoed": ([{"sh": "echo search key risks"}], False, False),
    "in a comment": ([{"sh": "true # search key risks"}], False, False),
    "looked for": ([{"sh": "command -v search; ls $(dirname $(command -v search))"}], False, False),
    "another program": ([{"sh": "grep --version"}], False, False),
    "a function of that name": ([{"sh": "search() { :; }; search risks"}], False, True),
    "forged": ([{"sh": f"printf 'search\\n' > {FIFO}"}], False, True),
    "forged and echoed": ([{"sh": f"echo search | tee {FIFO}"}], False, True),
}


def task(name: str, deeds: list[dict[str, Any]]) -> Task:
    script = "SCRIPT:" + json.dumps([*deeds, {"say": f"I have done it: {name}."}])
    return Task(name.replace(" ", "-"), script, Judge("rule", (ToolCalled("search"),)))


@pytest.mark.usefixtures("server")
def test_only_a_real_call_counts(terminal: Terminal, bench: ScoreBench) -> None:
    skill = terminal.install(SKILL)
    trials = bench.trials(skill, [(task(name, deeds), SKILL) for name, (deeds, _, _) in DEEDS.items()])
    seen = {
        name: trial.error or (trial.score is not None and trial.score.hard, trial.witnesses_disagree)
        for name, trial in zip(DEEDS, trials, strict=True)
    }
    assert seen == {name: (counts, disagree) for name, (_, counts, disagree) in DEEDS.items()}
