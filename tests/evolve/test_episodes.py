"""What a session tells about the work in it."""

import base64
from pathlib import Path

import pytest

from armarius.evolve.episodes import Episode, episodes_of, is_test
from armarius.rollouts.formats import read_thread
from support.session_writer import Asked, Session

DATA = Path(__file__).parents[1] / "data" / "rollouts"
CWD = Path("/srv/shop")


def told(folder: Path, *asked: Asked) -> tuple[Episode, ...]:
    return episodes_of(read_thread(Session(1, cwd=CWD, commit="a" * 40).ask(*asked).write(folder)))


def test_a_turn_is_told_once_with_its_commands_tests_patches_and_tokens(tmp_path: Path) -> None:
    [one] = told(
        tmp_path,
        Asked(
            prompt="Add a changelog entry",
            answer="Added.",
            ran=(("pytest -q", 1), ("ls", 0), ("pytest -q", 0)),
            added=("CHANGES.md",),
            tokens=1234,
        ),
    )
    assert (one.prompt, one.answer, one.state, one.tokens) == ("Add a changelog entry", "Added.", "completed", 1234)
    assert [(ran.command, ran.exit_code, ran.is_test) for ran in one.commands] == [
        ("ls", 0, False),
        ("pytest -q", 0, True),
    ]
    assert (one.added, one.changed, one.git_commit, one.dirty) == (("CHANGES.md",), ("CHANGES.md",), "a" * 40, False)
    assert not one.went_wrong


@pytest.mark.parametrize(
    "second",
    ["No, use the other one", "That's wrong.", "you forgot the header", "still fails", "Nein, falsch", "不对"],
)
def test_a_turn_that_the_person_took_back_went_wrong(tmp_path: Path, second: str) -> None:
    first, after = told(tmp_path, Asked(prompt="Write the header of the page"), Asked(prompt=second))
    assert (first.correction, first.went_wrong, after.correction) == (second, True, None)


@pytest.mark.parametrize(
    "second",
    [
        "Note the test did not pass before; fix it",
        "Play the piano, please",
        "The value is incorrect in docs: fix it",
        "prefixed names",
    ],
)
def test_words_that_only_hold_a_correction_are_none(tmp_path: Path, second: str) -> None:
    first, _ = told(tmp_path, Asked(prompt="Write the header of the page"), Asked(prompt=second))
    assert (first.correction, first.went_wrong) == (None, False)


def test_what_failed_was_interrupted_or_denied_went_wrong(tmp_path: Path) -> None:
    [failed] = told(tmp_path, Asked(prompt="Make the tests pass", ran=(("cargo test", 101),)))
    assert failed.went_wrong
    [stopped] = episodes_of(read_thread(DATA / "0.169-sigint.jsonl"))
    assert (stopped.state, stopped.went_wrong) == ("interrupted", True)
    [denied] = episodes_of(read_thread(DATA / "0.163-denied.jsonl"))
    assert (denied.denied, denied.went_wrong) == (1, True)


def test_what_no_person_asked_is_no_request(tmp_path: Path) -> None:
    asked = [Asked(prompt=text) for text in ("/compact", "<turn_aborted> x", "ARMARIUS REFLECTION v1\n\nA skill")]
    assert told(tmp_path, *asked) == ()
    assert [one.prompt for one in episodes_of(read_thread(DATA / "0.169-compaction.jsonl"))] == [
        "SAY[one]",
        "RUN[echo two]",
    ]


def test_skills_that_were_read_or_named_are_told(tmp_path: Path) -> None:
    command = "sed -n 1,80p /home/me/.agents/skills/brief-writer/SKILL.md"
    [one] = told(tmp_path, Asked(prompt="Use $tidy for this, not $HOME", ran=((command, 0),)))
    assert [(skill.name, skill.path) for skill in one.skills] == [
        ("brief-writer", "/home/me/.agents/skills/brief-writer/SKILL.md"),
        ("tidy", None),
    ]


def test_secrets_are_gone_before_anything_is_cut(tmp_path: Path) -> None:
    token = "ghp_" + "a1B2" * 9
    [one] = told(
        tmp_path,
        Asked(
            prompt="x" * 7_980 + f" {token}", answer=f"it is {token}", ran=((f"curl -H 'Authorization: {token}'", 0),)
        ),
    )
    assert token[:12] not in repr(one)


TOKEN = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    "hidden",
    [
        base64.b64encode(TOKEN.encode()).decode(),
        base64.b64encode(f"x: {TOKEN}".encode()).decode(),
        base64.urlsafe_b64encode(f"\xff\xfe\xfb {TOKEN}".encode()).decode().rstrip("="),
        "%67%68p_" + TOKEN[4:],
        "gh\u200bp_" + TOKEN[4:],
    ],
)
def test_threat_3_a_secret_that_is_encoded_is_one_too(tmp_path: Path, hidden: str) -> None:
    [one] = told(tmp_path, Asked(prompt=f"{'é' * 30} {'x%' * 9} Use {hidden} for it, but not {'QUJD' * 8}"))
    assert hidden not in one.prompt
    assert TOKEN[4:] not in one.prompt
    assert one.prompt.endswith(f" for it, but not {'QUJD' * 8}")


@pytest.mark.parametrize(
    "command",
    [
        *(
            "pytest -q",
            "cd a && npm test",
            "cargo test",
            "go test ./...",
            "make test",
            "ruff check .",
            "cd a; pytest\n",
        ),
        *("pytest -k 'a|b; c' > log 2>&1", "pytest && echo ok", "set -o pipefail; pytest | tail"),
    ],
)
def test_commands_that_test_are_known(command: str) -> None:
    assert is_test(command)


def test_a_command_is_told_as_it_would_be_typed_in_the_folder_of_the_turn(tmp_path: Path) -> None:
    typed = [
        (f"cd {CWD} && pytest -q", "pytest -q"),
        (f"cd '{CWD}/' ; pytest -x", "pytest -x"),
        (f"cd {CWD}/lib && pytest", "cd lib && pytest"),
        (f"{CWD}/.venv/bin/pytest {CWD}/tests --rootdir={CWD}", "./.venv/bin/pytest ./tests --rootdir=."),
        (f"ls {CWD}-old {CWD}/../x /opt{CWD}", f"ls {CWD}-old {CWD}/../x /opt{CWD}"),
    ]
    [one] = told(tmp_path, Asked(prompt="Fix the parser", ran=tuple((command, 0) for command, _ in typed)))
    assert [ran.command for ran in one.commands] == [seen for _, seen in typed]


@pytest.mark.parametrize(
    "command",
    [
        *("pytest -q | tail -5", "pytest -q 2>&1 | tee log", "pytest || true", "pytest -q; echo done", "pytest & wait"),
        "pytest -q\necho done",
    ],
)
def test_how_a_test_ended_is_not_told_by_what_ran_after_it(command: str) -> None:
    assert not is_test(command)


@pytest.mark.parametrize("command", ["ls tests", "cat latest", "git log --grep=test", "echo attest"])
def test_other_commands_are_no_tests(command: str) -> None:
    assert not is_test(command)
