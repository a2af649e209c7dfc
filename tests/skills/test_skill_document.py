import os
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import armarius.testing.benchmarks
from armarius.errors import DataError
from armarius.skills.document import (
    END,
    MAX_SKILL,
    START,
    Document,
    diff,
    parse_document,
    parse_rule,
    read_document,
    write_rule,
)
from armarius.skills.edit import Add, Delete, Replace, apply_edits

FRONT = "---\nname: demo\ndescription: A demo\n---\n"


def document(rest: str = "", front: str = FRONT) -> Document:
    return parse_document((front + rest).encode())


def test_a_document_is_read_into_its_pieces() -> None:
    rest = f"# Demo\n- item\n{START}\n## Learned rules\n\n- one\n- two\n  more\n\tlines\n{END}\n\nafter\n"
    found = document(rest)
    assert (found.name, found.description) == ("demo", "A demo")
    assert found.front == FRONT
    assert found.body == "# Demo\n- item\n"
    assert found.rules == ("one", "two\nmore\nlines")
    assert found.tail == "\nafter\n"


@pytest.mark.parametrize(
    "data",
    [
        FRONT,
        FRONT.rstrip("\n"),
        FRONT + "no final newline",
        FRONT.replace("\n", "\r\n") + "windows\r\n",
        FRONT + "mixed\r\nends\n",
        FRONT + "one\n\n\n\nthree blank lines above\n",
        FRONT + "form\x0cfeed \u2028 separator \x00 nul\n",
        " --- \nname: demo\ndescription: fences may be padded\n--- \t\nbody",
        f"{FRONT}{START}\n{END}",
        f"{FRONT}{START}\n- rule\n\n\n-   spaced  \n\n  far\n\tby a tab\n-\n{END}  \ntail",
        f"{FRONT}<!--armarius:learned  START-->\nprose\n- rule\n  {END}\n",
    ],
)
def test_an_unchanged_document_renders_to_the_same_bytes(data: str) -> None:
    assert parse_document(data.encode()).render() == data.encode()


LINE_ENDS = st.sampled_from(["\n", "\r\n"])
LINES = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12), max_size=6)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    end = draw(LINE_ENDS)
    text = FRONT.replace("\n", end) + draw(LINE_ENDS).join(draw(LINES))
    if draw(st.booleans()):
        rules = draw(st.lists(st.sampled_from(["- a", "- b\n  c", "-", "- - d\n\n\n  e", "-  f "]), max_size=4))
        block = "\n".join([START, *draw(st.sampled_from([[], ["## Learned", ""]])), *rules, END])
        text += ("" if text.endswith("\n") else end) + block.replace("\n", end)
        text += draw(st.sampled_from(["", end, end + "tail", end + end]))
    return text.encode()


@settings(deadline=None)
@given(documents())
def test_every_document_renders_to_the_same_bytes(data: bytes) -> None:
    assert parse_document(data).render() == data


PIECES = st.sampled_from(["a", "b", " ", "\n", "-", "- ", "--json", "`", "```", "#", "é", "\t", "1.", ">", "\x85"])
RULES = st.lists(PIECES, min_size=1, max_size=12).map("".join).filter(lambda text: text.strip(" \t\n") != "")


@settings(deadline=None)
@given(documents(), st.lists(RULES, min_size=1, max_size=4))
def test_bytes_outside_the_learned_block_are_kept_and_rules_come_back_as_they_went_in(
    data: bytes, texts: list[str]
) -> None:
    before = parse_document(data)
    applied = apply_edits(before, [*map(Add, texts), Delete("a")], len(texts) + 1)
    after = applied.document.render()
    assert after.startswith((before.front + before.body).encode())
    assert after.endswith(before.tail.encode())
    again = parse_document(after)
    assert again.render() == after
    assert again.rules == applied.document.rules
    added = [edit.text.strip(" \t\n") for edit in applied.accepted if isinstance(edit, Add)]
    assert list(again.rules[len(again.rules) - len(added) :]) == added


@given(RULES)
def test_writing_a_rule_and_reading_it_are_inverse(text: str) -> None:
    rule = write_rule(text.strip(" \t\n"))
    assert parse_rule(rule.source) == rule


@pytest.mark.parametrize(
    ("above", "gap"),
    [("", "\n"), ("text\n", "\n"), ("text\n\n", ""), ("text", "\n\n"), ("text\n\n\n", "")],
)
def test_a_first_rule_makes_a_block_at_the_end(above: str, gap: str) -> None:
    after = apply_edits(document(above), [Add("say so")], 1).document
    block = f"{gap}{START}\n## Learned rules\n\n- say so\n{END}\n"
    assert after.render().decode() == FRONT + above + block


def test_a_block_takes_the_line_ends_of_its_file() -> None:
    before = document("text", FRONT.replace("\n", "\r\n"))
    after = apply_edits(before, [Add("one\ntwo")], 1).document.render()
    assert after.endswith(f"\r\n\r\n{START}\r\n## Learned rules\r\n\r\n- one\r\n  two\r\n{END}\r\n".encode())
    assert parse_document(after).rules == ("one\ntwo",)


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"", "no-front-matter", "SKILL.md:1: the front matter is missing"),
        (b"# Title\n", "no-front-matter", "SKILL.md:1: the front matter is missing"),
        (b"\n---\nname: a\n---\n", "no-front-matter", "SKILL.md:1: the front matter is missing"),
        (b"---\nname: a\ndescription: b\n", "no-front-matter", "SKILL.md:1: the front matter does not end"),
        (b"\xef\xbb\xbf---\nname: a\n---\n", "byte-order-mark", "SKILL.md:1: a byte order mark"),
        (FRONT.encode() + b"caf\xe9\n", "not-utf8", "SKILL.md:5: byte 0xe9 is not UTF-8"),
        (b"x" * (MAX_SKILL + 1), "too-large", "SKILL.md has 262,145 bytes, at most 262,144"),
        (b"---\n---\n", "front-matter", "SKILL.md:1: the front matter has no name"),
        (b"---\nname: a\n---\n", "front-matter", "SKILL.md:1: the front matter has no description"),
        (b"---\nx: 1\nname: ~\n---\n", "front-matter", "SKILL.md:3: the front matter has no name"),
        (b"---\nname: a\ndescription: ' '\n---\n", "front-matter", "SKILL.md:3: the front matter has no desc"),
        (
            b"---\nname: a\nx: 1\nname: b\n---\n",
            "front-matter",
            "SKILL.md:4: bad YAML in the front matter: name",
        ),
        (b"---\nname: a\ndescription: b: c\n---\n", "front-matter", "SKILL.md:3: bad YAML"),
        (b"---\nname: a\nx: [1,\n---\n", "front-matter", "SKILL.md:4: bad YAML"),
        (
            b"---\nname: a\nx: \x01\n---\n",
            "front-matter",
            "SKILL.md:3: bad YAML in the front matter: a control",
        ),
        (b"---\n" + b"[" * 5_000 + b"\n---\n", "front-matter", "nested too deeply"),
        (b"---\n- name\n---\n", "front-matter", "SKILL.md:2: bad YAML in the front matter: it is no mapping"),
        (b"---\nname: ../x\ndescription: b\n---\n", "skill-name", "SKILL.md:2: '../x' is no name"),
        (b"---\nname: CON\ndescription: b\n---\n", "skill-name", "SKILL.md:2: 'CON' is no name"),
        (b"---\nname: lpt1.md\ndescription: b\n---\n", "skill-name", "SKILL.md:2: 'lpt1.md' is no name"),
        (b"---\nname: " + b"n" * 300 + b"\ndescription: b\n---\n", "skill-name", "is no name"),
    ],
)
def test_what_codex_could_not_use_is_refused_with_its_line(data: bytes, code: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_document(data)
    assert caught.value.code == code
    assert message in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "front",
    [
        "---\nname: a\ndescription: &d x\nx: &d y\n---\n",
        "---\nname: Brief Writer 2.0\ndescription: |\n  two\n  lines\n---\n",
        "---\nname: a\ndescription: 123\nmade: 2001-99-99\nx: !!python/object:os.system y\n---\n",
        '---\nname: "a"\ndescription: b\n? [k]\n: v\n---\n',
    ],
)
def test_front_matter_is_only_asked_for_what_codex_needs(front: str) -> None:
    assert document("", front).render() == front.encode()


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (f"{END}\n", "SKILL.md:5: the learned block ends here but does not start"),
        (f"a\n{START}\nuser text\n", "SKILL.md:6: the learned block starts here but does not end"),
        (f"{START}\n{START}\n{END}\n", "SKILL.md:6: the learned block starts a second time"),
        (f"{START}\n{END}\n{END}\n", "SKILL.md:7: a second learned block"),
        (f"{START}\n{END}\n\n{START}\n{END}\n", "SKILL.md:8: a second learned block"),
        ("<!-- Armarius:Learned END -->\n", "SKILL.md:5: the learned block ends here but does not start"),
        (f"{END}\n{START}\n", "SKILL.md:5: the learned block ends here"),
        (
            f"{START}\n- rule\nlost line\n{END}\n",
            "SKILL.md:7: this line in the learned block belongs to no rule",
        ),
        (f"{START}\n- rule\n\n# Title\n{END}\n", "SKILL.md:8: this line in the learned block belongs to no"),
    ],
)
def test_a_damaged_learned_block_is_refused_with_its_line(rest: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        document(rest)
    assert caught.value.code == "learned-block"
    assert message in caught.value.message


def test_a_file_of_the_largest_size_is_read() -> None:
    data = FRONT.encode().ljust(MAX_SKILL, b"x")
    assert parse_document(data).render() == data


def test_a_marker_in_the_front_matter_is_refused() -> None:
    front = f"---\nname: a\ndescription: |\n  {START}\n  {END}\n---\n"
    with pytest.raises(DataError, match=r"SKILL.md:4: a learned-block marker inside the front matter"):
        document("", front)


def test_a_marker_that_is_quoted_in_a_sentence_is_text() -> None:
    rest = f"The block begins with `{START}`.\n"
    assert document(rest).learned is None


def test_a_file_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "SKILL.md"
    path.write_bytes(FRONT.encode())
    (tmp_path / "link").symlink_to(path)
    assert read_document(path) == read_document(tmp_path / "link") == document()


def other_files(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # a socket's address has room for some 100 bytes only
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "large").write_bytes(b"x" * (MAX_SKILL + 1))
    return {name: folder / name for name in ("pipe", "socket", "loop", "large")}


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (".", "not-a-file", "is a directory"),
        ("pipe", "not-a-file", "is a pipe"),
        ("socket", "not-a-file", "is a socket"),
        ("/dev/null", "not-a-file", "is a device"),
        ("loop", "unreadable", "Too many levels of symbolic links"),
        ("large/SKILL.md", "unreadable", "Not a directory"),
        ("nul\0byte", "unreadable", "null "),
        ("absent", "missing", "does not exist"),
        ("large", "too-large", "has 262,145 bytes, at most 262,144 are read"),
    ],
)
def test_what_is_no_readable_file_is_refused_by_kind(tmp_path: Path, name: str, code: str, message: str) -> None:
    other_files(tmp_path)
    with pytest.raises(DataError) as caught:
        read_document(tmp_path / name)
    assert caught.value.code == code
    assert message in caught.value.message


@pytest.mark.parametrize("rest", ["# Demo\n\ntext\n", "# Demo\n\ntext", "# Demo\r\n\x0c\u2028text\r\n", ""])
def test_a_diff_applied_by_git_gives_the_new_bytes(tmp_path: Path, rest: str) -> None:
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    before = document(rest)
    with_one = apply_edits(before, [Add("`one`\n\n  two"), Add("three")], 2).document
    after = apply_edits(with_one, [Replace("three", "four")], 1).document
    for old, new in ((before, with_one), (with_one, after), (after, before)):
        (tmp_path / "SKILL.md").write_bytes(old.render())
        patch = diff(old, new, "SKILL.md").encode()
        subprocess.run(["git", "apply", "-"], cwd=tmp_path, env=env, input=patch, check=True, timeout=60)
        assert (tmp_path / "SKILL.md").read_bytes() == new.render()
    assert diff(before, before, "SKILL.md") == ""


def test_the_skills_of_the_benchmark_are_documents() -> None:
    found = sorted(Path(armarius.testing.benchmarks.__path__[0]).rglob("SKILL.md"))
    assert [read_document(path).render() for path in found] == [path.read_bytes() for path in found]
    assert len(found) == 4


@pytest.mark.parametrize("text", ["", "Be brief.", "Be brief.\n", "# A\r\n\r\nB\r\n", "---\nname: x\n", "\n\n\n"])
def test_a_memory_has_no_front_matter_and_keeps_every_byte(text: str) -> None:
    document = parse_document(text.encode(), "/project/AGENTS.md")
    assert document.render() == text.encode()
    learned = document.with_rules((write_rule("Be kind.", document.newline),))
    again = parse_document(learned.render(), "/project/AGENTS.md")
    assert again.rules == ("Be kind.",)
    assert again.render().startswith(text.encode())
    assert again.with_rules(()).text.startswith(text)
    assert ("\r\n" in learned.text) == ("\r\n" in text)
