"""Work that recurs becomes tasks, each check with its evidence; what has none is asked for."""

import random
from collections.abc import Collection
from pathlib import Path

import msgspec
import pytest

from armarius.evolve.checks import CommandPasses, FileHolds, JsonSchema
from armarius.evolve.episodes import Episode, Ran, Skill
from armarius.evolve.evidence import draft_checks
from armarius.evolve.judge import Contains, Judge, MaxChars, MinCitations, SectionPresent
from armarius.evolve.mine import Mined, mine
from armarius.evolve.origin import Start
from armarius.evolve.targets import choose_target, relevance_to
from armarius.evolve.tasks import Task, split_tasks
from armarius.skills.document import parse_document

COMMIT = "c" * 40
TOPICS = ["pricing", "hiring", "rust", "churn", "offices", "taxes", "support", "search", "ads", "mobile"]


class Machine:
    """A machine on which everything is still there but what is named."""

    def __init__(
        self,
        *,
        programs: frozenset[str] = frozenset({"pytest"}),
        commits: frozenset[str] = frozenset({COMMIT}),
        lacking: str | None = None,
    ) -> None:
        self._programs, self._commits, self._lacking = programs, commits, lacking

    def start_of(self, folder: str, commit: str) -> Start | None:
        return Start(folder, commit) if commit in self._commits else None

    def lacks(self, start: Start, programs: Collection[str]) -> str | None:
        assert (start.commit, set(programs)) == (COMMIT, {"pytest"})
        return self._lacking

    def has_program(self, name: str) -> bool:
        return name in self._programs


def episode(session: int, prompt: str, **more: object) -> Episode:
    one = Episode(
        thread_id=f"s{session}",
        turn_id=f"t{session}-{prompt}",
        number=1,
        at_us=session,
        prompt=prompt,
        answer="Done.",
        state="completed",
        cwd="/srv/shop",
        git_commit=COMMIT,
        tokens=2_000,
    )
    return msgspec.structs.replace(one, **more)


def mined(*episodes: Episode, most: int = 40, machine: Machine | None = None) -> Mined:
    return mine(episodes, machine or Machine(), most_tasks=most)


def briefs(count: int, **more: object) -> list[Episode]:
    text = 'Write a brief on {} with a section called "Key Risks"'
    return [episode(number, text.format(topic), **more) for number, topic in enumerate(TOPICS[:count])]


def test_work_of_one_kind_in_several_sessions_becomes_a_task_for_each_different_request() -> None:
    found = mined(*briefs(4), episode(9, briefs(1)[0].prompt.lower()), episode(10, "Explain monads to me once"))
    assert (found.groups, found.once, len(found.tasks), found.drafts) == (1, 1, 4, ())
    [first] = [task for task in found.tasks if "pricing" in task.task]
    assert first.judge.checks == (SectionPresent("Key Risks"),)
    assert first.origin
    assert (first.origin.sessions, first.origin.turns) == (("s0", "s9"), 5)
    assert first.origin.evidence == ("section_present: asked for in every one of 5 requests",)
    assert len({task.origin.kind for task in found.tasks if task.origin}) == 1


def test_what_only_one_session_repeats_does_not_recur() -> None:
    twice = [episode(1, one.prompt, turn_id=f"u{n}") for n, one in enumerate(briefs(3))]
    assert (mined(*twice).groups, mined(*twice).once) == (0, 3)


def test_order_changes_neither_tasks_nor_ids() -> None:
    episodes = [
        *briefs(6),
        *(episode(20 + n, f"Add a changelog entry for {n}.2 and include 'Added'") for n in range(3)),
    ]
    expected = mined(*episodes)
    for seed in range(5):
        assert mined(*random.Random(seed).sample(episodes, len(episodes))) == expected


def test_rank_is_frequency_times_failure_times_cost() -> None:
    def kind(word: str, sessions: int, tokens: int, wrong: int) -> list[Episode]:
        text = f"{word} the weekly numbers and mention 'total'"
        taken_back = [None] * (sessions - wrong) + ["no, wrong"] * wrong
        return [
            episode(number, text + f" of week {number}", tokens=tokens, correction=correction)
            for number, correction in enumerate(taken_back)
        ]

    rare, often = kind("Translate", 2, 2_000, 0), kind("Summarise", 6, 2_000, 0)
    dear, wrong = kind("Draw", 2, 50_000, 0), kind("Reconcile", 2, 50_000, 2)
    found = mined(*rare, *often, *dear, *wrong)
    assert [task.task.split()[0] for task in found.tasks][:4] == ["Reconcile", "Draw", "Summarise", "Translate"]


def test_no_kind_takes_the_place_of_the_others() -> None:
    others = [episode(30 + n, f"Translate the note {n} and mention 'greetings'") for n in range(2)]
    found = mined(*briefs(10), *others, most=4)
    assert sum("Translate" in task.task for task in found.tasks) == 2
    assert found.spilt == 8


@pytest.mark.parametrize(
    ("prompt", "asks"),
    [
        ("Write a poem about the topic of {}", "a check: nothing in the sessions tells a good answer from a bad one"),
        ("Write a text about {} in at most 100 words", "a check of what is said: only the form is known (max_chars)"),
        ("Now do the same thing for {} again", "a text that stands by itself"),
    ],
)
def test_work_without_a_usable_check_is_asked_for(prompt: str, asks: str) -> None:
    found = mined(*(episode(number, prompt.format(topic)) for number, topic in enumerate(TOPICS[:3])))
    assert found.tasks == ()
    [draft] = found.drafts
    assert draft.asks.startswith(asks)


def test_checks_come_from_what_passed_what_appeared_and_what_was_asked_for() -> None:
    ran = (Ran("pytest -q", 0, is_test=True), Ran("pytest -x", 1, is_test=True), Ran("ls", 0))
    well = [
        episode(n, "Add a parser", commands=ran[:1] if n else ran[::2], added=("src/parser.py", f"n{n}.txt"))
        for n in range(2)
    ]
    assert [check for check, _ in draft_checks(well)] == [
        CommandPasses(draft_checks(well)[0][0].arg),  # type: ignore[arg-type]  # looked at below
        FileHolds(draft_checks(well)[1][0].arg),  # type: ignore[arg-type]  # looked at below
    ]
    assert [why for _, why in draft_checks(well)] == [
        "`pytest -q` ended with 0 in all of 2 sessions, such as s0",
        "src/parser.py was made in all of 2 sessions, such as s0",
    ]
    for wrong in ({"state": "failed"}, {"correction": "no, undo it"}, {"denied": 1}):
        assert draft_checks([msgspec.structs.replace(one, **wrong) for one in well]) == [], "no model"


@pytest.mark.parametrize(
    ("first", "others"),
    [
        ("Schreibe einen Bericht über {} mit einem Abschnitt „Risiken“", "Bitte schreibe uns einen Bericht über {}"),
        (
            "Rédige une note sur les {} avec une section « Risques »",
            "Rédige pour nous une note sur {} : section « Risques »",
        ),
        ("Escribe un informe sobre los {} con un apartado «Riesgos»", "Por favor escribe un informe sobre los {}"),
        ("Scrivi una nota sui {} con una sezione «Rischi»", "Per favore scrivi una nota su {}: sezione «Rischi»"),
        ("Schrijf een notitie over de {} met een sectie „Risico“", "Schrijf ons een notitie over de {}"),
    ],
)
def test_requests_in_other_languages_recur_and_differ_as_english_ones_do(first: str, others: str) -> None:
    asked = [episode(1, first.format("preisa")), episode(2, first.format("logistika"))]
    found = mined(*asked, episode(3, others.format("personala")), episode(4, others.format("energia")))
    assert (found.groups, found.once) == (1, 0)
    recurring = mined(*asked)
    assert len(recurring.tasks) == 2, "each is a task of its own"


def test_what_lost_a_secret_is_no_check_since_it_is_not_what_was_run_or_asked_for() -> None:
    ran = (Ran("pytest -q --token [redacted:github-token]", 0, is_test=True),)
    asked = "Write a note that must contain '[redacted:openai-key]' as it is"
    assert draft_checks([episode(n, asked, commands=ran, added=("a/[redacted:jwt].md",)) for n in range(2)]) == []


@pytest.mark.parametrize(
    "command",
    ["cd /srv/shop && pytest", "cd ~/shop; pytest", 'cd "$HOME" && pytest', "cd .. && pytest", "make -C /srv test"],
)
def test_what_passed_elsewhere_is_no_check_of_what_a_replay_left(command: str) -> None:
    assert draft_checks([episode(n, "Add a parser", commands=(Ran(command, 0, is_test=True),)) for n in range(2)]) == []


@pytest.mark.parametrize(
    ("prompt", "checks"),
    [
        ("Give me the list as JSON", [JsonSchema({"type": ["object", "array"]})]),
        ("Write the notes and cite what you read", [MinCitations(1)]),
        ("The answer must include 'Confidence:'", [Contains("Confidence:")]),
        ('Add a "Key Risks" section', [SectionPresent("Key Risks")]),
        ("Keep it under 1,200 characters", [MaxChars(1_200)]),
        ("Read the JSON file and the section of the law", []),
        ("Write a JSON parser", []),
        ("Schreibe einen Bericht mit einem Abschnitt „Risiken“", [SectionPresent("Risiken")]),
        ('Füge eine Überschrift namens "Offene Fragen" hinzu', [SectionPresent("Offene Fragen")]),
        ("Écris une note avec une rubrique « Risques »", [SectionPresent("Risques")]),
        ("Добавь раздел «Риски»", [SectionPresent("Риски")]),
        ("写一份关于定价的简报包含“主要风险”一节", [SectionPresent("主要风险")]),
        ("「リスク」のセクションを付けて", [SectionPresent("リスク")]),
        ("Gib mir die Liste als JSON", [JsonSchema({"type": ["object", "array"]})]),
        ("Lies die JSON-Datei und den Abschnitt über Risiken", []),
    ],
)
def test_forms_are_those_that_a_person_asked_for(prompt: str, checks: list[object]) -> None:
    assert [check for check, _ in draft_checks([episode(1, prompt), episode(2, prompt)])] == checks


def test_what_a_person_set_right_becomes_a_check() -> None:
    taken_back = episode(2, "Write a brief on b", correction="you forgot the Key Risks section")
    [(check, why)] = draft_checks([episode(1, "Write a brief on a"), taken_back])
    assert (check, why) == (SectionPresent("Key Risks"), "set right by the person in session s2")


@pytest.mark.parametrize(
    ("more", "machine", "reason"),
    [
        ({}, Machine(), None),
        ({"git_commit": None}, Machine(), "no commit was recorded"),
        ({}, Machine(commits=frozenset()), "which is not on this machine any more"),
        ({"dirty": True}, Machine(), "files that the session had changed before"),
        ({}, Machine(programs=frozenset()), "its checks need pytest"),
        ({}, Machine(lacking="submodules"), "it needs submodules"),
    ],
)
def test_work_on_files_that_nobody_can_have_again_is_not_certifiable(
    more: dict[str, object], machine: Machine, reason: str | None
) -> None:
    passed = (Ran("cd lib && CI=1 pytest -q", 0, is_test=True),)
    work = [episode(n, f"Fix the failing test of {TOPICS[n]}", commands=passed, **more) for n in range(3)]
    for task in mined(*work, machine=machine).tasks:
        assert (task.why_uncertifiable is None) is (reason is None)
        assert (reason or "") in (task.why_uncertifiable or "")
        assert (task.start is not None) is (reason is None)
        if reason:
            assert task in split_tasks([task, *(other_tasks())])[0], "it trains"


def other_tasks() -> tuple[Task, ...]:
    return mined(*briefs(6)).tasks


def test_near_duplicates_never_straddle_the_split() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        words = [" ".join(rng.choices(TOPICS, k=6)) for _ in range(12)]
        judge = briefs_judge()
        tasks = [Task(f"a{n}", f"Write a brief on {text}", judge) for n, text in enumerate(words)]
        twins = [Task(f"b{n}", f"Please write me a brief on {text}!", judge) for n, text in enumerate(words)]
        train, held_out = split_tasks([*tasks, *twins])
        assert not {task.task_id[1:] for task in train} & {task.task_id[1:] for task in held_out}


def briefs_judge() -> Judge:
    return other_tasks()[0].judge


SKILL = (
    b"---\nname: brief-writer\ndescription: Writes briefs.\n---\n\n# Briefs\n\n## Key risks\n\nSay what may go wrong.\n"
)


def test_a_target_oversamples_and_ranks_by_its_path_headings_and_content() -> None:
    others = [episode(30 + n, f"Translate the note {n} and mention 'greetings'", tokens=90_000) for n in range(4)]
    relevance = relevance_to(Path("/x/skills/brief-writer/SKILL.md"), parse_document(SKILL))
    found = mine([*briefs(4), *others], Machine(), most_tasks=2, relevance=relevance)
    assert (found.unrelated, found.notes) == (1, ())
    assert all("brief" in task.task for task in found.tasks)
    alone = mine(others, Machine(), most_tasks=2, relevance=relevance)
    assert (len(alone.tasks), alone.notes) == (
        2,
        ("no recurring work has anything to do with the target; all of it is taken",),
    )


def test_without_a_target_the_skill_that_was_used_is_taken_if_it_is_ours_to_edit(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    skill = project / ".agents" / "skills" / "brief-writer" / "SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_bytes(SKILL)
    foreign = (Skill("system", "/usr/share/skills/system/SKILL.md"),)
    used = [episode(n, "x", skills=(*foreign, Skill("brief-writer"))) for n in range(2)]
    target = choose_target([*used, episode(3, "y", skills=foreign)], project, [project])
    assert (target.path, target.why) == (skill, "used in 2 of 3 turns")
    learned = choose_target([episode(1, "x", skills=foreign)], project, [project])
    assert learned.path == project / ".agents" / "skills" / "armarius-learned" / "SKILL.md"
    assert (learned.exists, learned.why) == (False, "system cannot be edited from here")
