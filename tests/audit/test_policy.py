"""Rules about commands: what Codex says of them, and what speaks against them."""

import os
from pathlib import Path

import pytest

from armarius.audit.policy import TEMPLATES, findings, read_rules
from armarius.audit.policy_check import check_files, explain, try_examples, write_template
from armarius.codex.binary import Binary, find
from armarius.errors import DataError, Refused


@pytest.fixture(scope="module")
def binary(codex_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Binary:
    return find(setting=str(codex_wheel), search_path="", cache=tmp_path_factory.mktemp("probe") / "probes.json")


def rules(folder: Path, text: str, name: str = "own.rules") -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_taken_by_codex_keeps_its_word_and_has_nothing_against_it(
    binary: Binary, tmp_path: Path, template: str
) -> None:
    file = tmp_path / "armarius.rules"
    assert write_template(binary, template, file).is_new
    assert file.stat().st_mode & 0o777 == 0o600
    done = try_examples(binary, [file])
    assert len(done.examples) > 10
    assert all(one.holds for one in done.examples)
    assert check_files(binary, [file], for_worker=True).findings == ()
    assert explain(binary, [file], ("codex", "login", "--with-api-key")).decision == "forbidden"
    assert explain(binary, [file], ("codex", "login", "status")).decision is None


def test_rules_that_are_there_stay_as_they_are(binary: Binary, tmp_path: Path) -> None:
    file = tmp_path / "armarius.rules"
    write_template(binary, "worker", file)
    assert not write_template(binary, "worker", file).is_new
    file.write_text("# mine\n")
    with pytest.raises(Refused, match="other rules"):
        write_template(binary, "worker", file)
    assert file.read_text() == "# mine\n"


BROAD = ["git", "bash", "python3", "npm", "sudo", "find", "/usr/bin/env", "rm", "docker"]


@pytest.mark.parametrize("word", BROAD)
def test_a_prefix_that_can_run_anything_is_too_broad_to_be_allowed(word: str) -> None:
    codes = [one.code for one in findings("f", read_rules(f'prefix_rule(pattern=["{word}"], decision="allow")'))]
    assert codes == ["allow", "broad", "untested"]


def test_alternatives_are_looked_at_and_a_whole_command_is_not_too_broad() -> None:
    one = 'prefix_rule(pattern=[["ls", "bash"]], decision="allow", match=["ls"], not_match=["cat"])'
    two = 'prefix_rule(pattern=["git", ["status", "push"]], decision="allow", match=["git push"], not_match=["cat"])'
    three = 'prefix_rule(pattern=["git", "status"], decision="allow", match=["git status"], not_match=["cat"])'
    said = [[found.code for found in findings("f", read_rules(text))] for text in (one, two, three)]
    assert said == [["allow", "broad"], ["allow", "broad"], ["allow"]]
    assert findings("f", read_rules(three.replace("allow", "forbidden"))) == ()


def test_an_allowed_command_is_said_to_leave_the_sandbox(binary: Binary, tmp_path: Path) -> None:
    file = rules(tmp_path, 'prefix_rule(pattern=["ls"], decision="allow", match=["ls -l"], not_match=["cat"])')
    assert "outside of the sandbox" in check_files(binary, [file], for_worker=False).findings[0].message
    assert "OUTSIDE of the sandbox" in explain(binary, [file], ("ls", "-a")).means


BROKEN = {
    "an example that does not hold": 'prefix_rule(pattern=["a"], decision="forbidden", match=["b"])',
    "an example that must not hold": 'prefix_rule(pattern=["a"], decision="forbidden", not_match=["a b"])',
    "no grammar": 'prefix_rule(pattern=["a"',
    "no pattern": 'prefix_rule(pattern=[], decision="allow")',
    "an unknown decision": 'prefix_rule(pattern=["a"], decision="perhaps")',
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_codex_does_not_take_is_an_error_with_its_words(binary: Binary, tmp_path: Path, case: str) -> None:
    file = rules(tmp_path, BROKEN[case])
    [first, *_] = check_files(binary, [file], for_worker=False).findings
    assert (first.code, first.severity) == ("rules", "error")
    assert "<unknown>" not in first.message
    with pytest.raises(DataError, match="codex does not take"):
        explain(binary, [file], ("a",))
    with pytest.raises(DataError, match="codex does not take"):
        try_examples(binary, [file])


def test_what_is_no_text_is_an_error_of_its_own_and_hides_no_other_file(binary: Binary, tmp_path: Path) -> None:
    pipe, bytes_, good = tmp_path / "a.rules", tmp_path / "b.rules", rules(tmp_path, TEMPLATES["worker"])
    os.mkfifo(pipe)
    bytes_.write_bytes(b"\xff")
    report = check_files(binary, [pipe, bytes_, good], for_worker=True)
    assert [(one.file, one.severity) for one in report.findings] == [(str(pipe), "error"), (str(bytes_), "error")]
    assert report.rules == len(read_rules(TEMPLATES["worker"]).rules)
    for file in (pipe, bytes_):
        with pytest.raises(DataError, match=r"a pipe|not UTF-8"):
            explain(binary, [file], ("a",))


def test_what_is_not_literal_is_said_to_be_unread_and_decided_by_codex(binary: Binary, tmp_path: Path) -> None:
    text = 'for word in ["a", "b"]:\n    prefix_rule(pattern=[word], decision="allow")\n'
    file = rules(tmp_path, text)
    assert [one.code for one in check_files(binary, [file], for_worker=False).findings] == ["unread"]
    assert explain(binary, [file], ("b",)).decision == "allow"
    assert try_examples(binary, [file]).unread == 1


def test_a_workers_rules_have_to_forbid_a_login_by_key_also_when_they_stand_in_two_files(
    binary: Binary, tmp_path: Path
) -> None:
    other = rules(tmp_path, 'prefix_rule(pattern=["x"], decision="prompt", match=["x"], not_match=["y"])')
    report = check_files(binary, [other], for_worker=True)
    assert [one.code for one in report.findings] == ["login"]
    assert report.fails(strict=False)
    second = rules(tmp_path, TEMPLATES["worker"], "second.rules")
    assert check_files(binary, [other, second], for_worker=True).findings == ()


@pytest.mark.parametrize(
    "text", ["", "\0", "(" * 5_000, "x = " + "-" * 20_000 + "1", 'prefix_rule(**{"a": 1})', "import os"]
)
def test_whatever_stands_in_a_file_it_is_read_or_said_not_to_be(text: str) -> None:
    assert read_rules(text).rules == ()
