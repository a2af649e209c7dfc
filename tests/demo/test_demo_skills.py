"""Nothing in the demonstration knows the answer: the scores follow from what the skill says."""

import pytest

from armarius.testing import benchmarks
from support.score_bench import ScoreBench
from support.terminal import Terminal

RULES = {
    "seed-missing-structure": {
        "paraphrased": 'Every brief has a "Key Risks" heading, and its last line reads "Confidence: low|medium|high".',
        "wrong": 'Add a section with the heading "Key Benefits" and end with a line that starts with "Certainty:".',
        "half": 'Add a section with the heading "Key Risks".',
        "negated": 'Never add a section with the heading "Key Risks", and never write a "Confidence:" line.',
        "irrelevant": "Be courteous, and do not use jargon.",
        "missing": "",
    },
    "seed-no-verdict": {
        "paraphrased": 'The answer ends with two lines, "Recommendation: yes|no" and "Confidence: low|medium|high".',
        "wrong": 'End with two lines, "Proposal: yes|no" and "Certainty: low|medium|high".',
        "half": 'End with the line "Recommendation: yes|no".',
        "negated": 'Do not write a line that starts with "Recommendation:" or "Confidence:".',
        "irrelevant": "Mention both sides of the question.",
        "missing": "",
    },
    "seed-verbose": {
        "paraphrased": "An answer has no more than one thousand characters.",
        "wrong": "Keep the whole answer below 9,000 characters.",
        "negated": "Do not keep answers under 1,000 characters.",
        "irrelevant": "Use plain words.",
        "missing": "",
    },
    "seed-no-brain-first": {
        "paraphrased": "First of all, query the `search` tool about the question; only then reply.",
        "wrong": "Before you answer, always run the command `lookup` with a few words of the question.",
        "negated": "Never run the command `search`.",
        "irrelevant": "A search is often worth the time it takes.",
        "missing": "",
    },
}
"""What is put under each deficient skill. `half` is what a hasty reader would take for the rule."""


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if number > 1 else []) for number, name in enumerate(RULES)]
)
def test_a_held_out_task_passes_with_the_rule_in_other_words_and_with_nothing_else(
    terminal: Terminal, bench: ScoreBench, name: str
) -> None:
    seed = benchmarks.load(name)
    skill = terminal.install(seed.skill)
    jobs = [(task, seed.skill + f"\n{rule}\n".encode()) for rule in RULES[name].values() for task in seed.held_out[:2]]
    trials = bench.trials(skill, jobs)
    assert [trial.error for trial in trials] == [None] * len(jobs)
    passed = [trial.score is not None and trial.score.hard for trial in trials]
    pairs = dict(zip(RULES[name], zip(passed[::2], passed[1::2], strict=True), strict=True))
    assert pairs == {kind: (kind == "paraphrased",) * 2 for kind in RULES[name]}
    assert skill.read_bytes() == seed.skill


@pytest.mark.usefixtures("server")
def test_the_text_of_the_candidate_is_what_codex_gave_the_model_and_the_live_skill_is_not(
    terminal: Terminal, bench: ScoreBench
) -> None:
    live = terminal.install(b'---\nname: it\ndescription: d\n---\nEnd with "Live: yes".\n')
    other = terminal.home / ".agents" / "skills" / "other"
    other.mkdir(parents=True)
    (terminal.home / ".git").mkdir()  # a home that is a repository: Codex looks for skills up to its top
    (other / "SKILL.md").write_bytes(b'---\nname: other\ndescription: d\n---\nEnd with "Other: yes".\n')
    candidate = b'---\nname: it\ndescription: d\n---\nEnd with "Candidate: yes".\n'
    [trial] = bench.trials(live, [(benchmarks.load("seed-verbose").held_out[0], candidate)])
    assert trial.answer
    assert ("Candidate: yes" in trial.answer, "Live:" in trial.answer, "Other:" in trial.answer) == (True, False, False)
