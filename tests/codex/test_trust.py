"""Trust in a person's config.toml: taken out exactly, and moved with the hooks it belongs to."""

import tomllib

import pytest

from armarius.codex.hooks_file import Place
from armarius.codex.trust import key_of, moved_trust, trusted, with_endings, without_trust
from armarius.errors import DataError

PLAIN = '# mine\nmodel = "m"  # keep\n\n[model_providers.s]\nname = "s"\n'
OURS = '\n[hooks.state]\n\n[hooks.state."/h.json:stop:1:0"]\ntrusted_hash = "sha256:aa"\n'
THEIRS = '\n[hooks.state."/h.json:stop:0:0"]\ntrusted_hash = "sha256:bb"\nenabled = false\n'
STATE = "\n[hooks.state]\n"
KEY = "/h.json:stop:1:0"


@pytest.mark.parametrize(
    ("event", "key"), [("SessionStart", "session_start"), ("Stop", "stop"), ("UserPromptSubmit", "user_prompt_submit")]
)
def test_a_key_is_spelt_as_codex_spells_it(event: str, key: str) -> None:
    assert key_of("/h/hooks.json", Place(event, 2, 1)) == f"/h/hooks.json:{key}:2:1"


@pytest.mark.parametrize(
    ("now", "before", "after"),
    [
        (PLAIN + OURS, PLAIN, PLAIN),
        (PLAIN.rstrip("\n") + "\n" + OURS, PLAIN.rstrip("\n"), PLAIN.rstrip("\n")),
        (PLAIN + "\n\n" + OURS, PLAIN + "\n\n", PLAIN + "\n\n"),
        (OURS.lstrip(), "", ""),
        (PLAIN + OURS + "\n[new]\nx = 1\n", PLAIN, PLAIN + "\n[new]\nx = 1\n"),
        (PLAIN.replace("keep", "changed") + OURS, PLAIN, PLAIN.replace("keep", "changed")),
        (PLAIN + OURS + THEIRS, PLAIN, PLAIN + STATE + THEIRS),
        (PLAIN + OURS + THEIRS, PLAIN + STATE + THEIRS, PLAIN + STATE + THEIRS),
        (PLAIN + OURS + "\n# my own\n\n[new]\nx = 1\n", PLAIN, PLAIN + "\n# my own\n\n[new]\nx = 1\n"),
        (PLAIN + OURS + "# at the end\n", PLAIN, PLAIN + "# at the end\n"),
        (PLAIN + "[hooks]\n" + OURS, PLAIN + "[hooks]\n", PLAIN + "[hooks]\n"),
        (PLAIN, PLAIN, PLAIN),
    ],
)  # fmt: skip
def test_what_codex_added_is_taken_out_and_nothing_else(now: str, before: str, after: str) -> None:
    assert without_trust(now, {KEY}, before, "config.toml") == after


def test_a_key_in_other_quotes_is_found_and_one_in_a_text_is_not() -> None:
    text = PLAIN + f"[hooks.state.'{KEY}'] # note\ntrusted_hash = 'x'\n"
    assert without_trust(text, {KEY}, PLAIN, "config.toml") == PLAIN
    quoted = PLAIN + f'text = """\n[hooks.state."{KEY}"]\nx"""\n'
    with pytest.raises(DataError, match="cannot be taken out exactly"):
        without_trust(quoted + OURS, {KEY}, PLAIN, "config.toml")


def test_trust_that_stands_in_one_line_is_not_guessed_at() -> None:
    with pytest.raises(DataError, match="cannot be taken out exactly") as problem:
        without_trust(f'hooks.state = {{ "{KEY}" = {{ trusted_hash = "x" }} }}\n', {KEY}, "", "config.toml")
    assert KEY in problem.value.hint


@pytest.mark.parametrize(
    ("now", "before", "after"),
    [
        ("a\nb\nnew\nc\n", "a\r\nb\r\nc\r\n", "a\r\nb\r\nnew\r\nc\r\n"),
        ("a\nnew\nc\n", "a\r\nb\nc\r\n", "a\r\nnew\nc\r\n"),
        ("a\r\nnew\r\nb", "a\nb", "a\r\nnew\r\nb"),
        ("a\nb", "a\r\nb", "a\r\nb"),
        ("", "a\r\n", ""),
    ],
)
def test_lines_end_as_they_did_before_codex_wrote(now: str, before: str, after: str) -> None:
    assert with_endings(now, before) == after


def test_trust_moves_with_its_hook() -> None:
    text = PLAIN + OURS + THEIRS.replace(":0:0", ":2:0") + THEIRS.replace(":0:0", ":3:0").replace("bb", "cc")
    moved = moved_trust(text, {"/h.json:stop:2:0": '/h.json:s"t\\:1:0', "/h.json:stop:3:0": "/h.json:stop:2:0"})
    assert trusted(moved, "config.toml") == {
        KEY: "sha256:aa",
        '/h.json:s"t\\:1:0': "sha256:bb",
        "/h.json:stop:2:0": "sha256:cc",
    }
    assert moved.count("\n") == text.count("\n")


@pytest.mark.parametrize("text", ["x =", "a = 1\na = 2", "x = " + "[" * 100_000])
def test_a_config_that_is_none_is_a_data_error(text: str) -> None:
    with pytest.raises(DataError, match=r"config\.toml"):
        trusted(text, "config.toml")


def test_the_plain_text_is_toml() -> None:
    assert tomllib.loads(PLAIN + OURS)["hooks"]["state"][KEY] == {"trusted_hash": "sha256:aa"}
