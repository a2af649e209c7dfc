"""Signs in a diff that a check was made easier to pass, instead of the work made right.

Owns reading a unified diff and the signs. Pure. Does not own what follows: a sign is a place to look at, never a
judgement, because a test may well be wrong.
Invariant: linear in the diff, whatever stands in it; every sign names a file, a line of the diff's old or new side,
and the words that it was found by. Only lines that were removed or added count.

    weakened-assertion   a check that was exact is loose now, was removed, is skipped or always holds
    deleted-input        a test, a case of it or a file that it reads is gone
    shrunk-range         fewer values, examples or repetitions are tried
    special-case         code that behaves otherwise where it is checked, or lets one value pass
    swallowed-failure    a failure that is caught or ignored, so that nobody hears of it
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final, Literal

import msgspec

__all__ = ["Sign", "signs_of"]

Kind = Literal["weakened-assertion", "deleted-input", "shrunk-range", "special-case", "swallowed-failure"]

_MOST_SIGNS: Final = 200
_LONGEST_LINE: Final = 2_000
_SHOWN: Final = 160

_TEST_FILE = re.compile(
    r"(?:^|/)(?:tests?|specs?|__tests__|testdata|fixtures?|goldens?|snapshots?|__snapshots__)/"
    r"|(?:^|/)(?:test_[^/]*|conftest)\.py$|_test\.(?:py|go|rb|exs?|dart)$|[._](?:test|spec)\.[cm]?[jt]sx?$"
    r"|(?:^|/)[^/]*(?:Tests?|Spec|IT)\.(?:java|kt|scala|cs|swift|php)$|_spec\.rb$",
)
_DATA_FILE = re.compile(r"\.(?:json|jsonl|csv|tsv|ya?ml|toml|xml|txt|snap|golden|expected|bin|dat|parquet|sql)$")
_ASSERTION = re.compile(
    r"^\s*assert\b|\bself\.assert\w+\(|\b(?:assert|Assert|ASSERT|EXPECT|CHECK|REQUIRE)[A-Za-z_]*!?\s*\(|\bexpect\("
    r"|\bassert\.\w+\(|\b(?:t|b|tb)\.(?:Error|Errorf|Fatal|Fatalf)\(|\brequire\.\w+\(|\.should\b|\bmust_\w+"
    r"|\bpytest\.raises\("
)
_EXACT = re.compile(
    r"==|\bassert(?:Equals?|Same|Is|Equal\w*)\(|assert_eq!|\b(?:ASSERT|EXPECT)_(?:EQ|STREQ)\b"
    r"|\.to(?:Be|Equal|StrictEqual)\(|\.(?:Equal|Exactly|StrictEqual|deepEqual|strictEqual|eql?)\(|Is\.EqualTo"
)
_LOOSE = re.compile(
    r"\bis not None\b|!=\s*None|\bassert(?:True|NotNone|IsNotNone|In|NotNull|Contains)\(|\bisinstance\(|[<>]=?\s|\bin\b"
    r"|\.to(?:BeDefined|BeTruthy|Contain|BeGreaterThan\w*|BeLessThan\w*|Exist)\b|\.(?:NotNil|Contains|NotEmpty)\("
    r"|!=\s*nil\b|assert!\(.*\.is_(?:ok|some)\(|\b(?:ASSERT|EXPECT)_(?:TRUE|NE|GE|LE)\b|\bany\(|\bhasattr\("
)
_EMPTY_CHECK = re.compile(
    r"^\s*assert\s+(?:True|1)\b(?!\s*(?:==|if\b|and\b))|\bassertTrue\(\s*(?:True|true)\s*\)|\bassert!\(\s*true\s*\)"
    r"|expect\(\s*(?P<a>true|1)\s*\)\.to(?:Be|Equal)\(\s*(?P=a)\s*\)|\bassert\s*\(?[^=]*\bor\s+True\b"
    r"|assert\.(?:ok|True)\(\s*(?:t,\s*)?true\s*\)"
)
_SKIP = re.compile(
    r"@?pytest\.mark\.(?:skip|xfail)|\bpytest\.(?:skip|xfail|importorskip)\(|@(?:unittest\.)?skip(?:If|Unless)?\b"
    r"|\b(?:it|test|describe|context)\.(?:skip|todo|fixme)\(|\bx(?:it|describe|test)\(|\b[tb]\.Skip(?:Now|f)?\("
    r"|#\[ignore\b|@Disabled\b|@Ignore\b|\bXCTSkip\b|\[Ignore\b|\bmarkTestSkipped\(|\bskip\s+['\"]|\bGTEST_SKIP\("
    r"|--deselect\b|--ignore=|-k\s+['\"]?not\b|\bcollect_ignore\b"
)
_TEST_CASE = re.compile(
    r"^\s*(?:async\s+)?def\s+test_?\w*\(|^\s*func\s+(?:Test|Fuzz)\w+\(|^\s*(?:it|test)\(\s*['\"`]|#\[(?:tokio::)?test\]"
    r"|^\s*@Test\b|^\s*\[(?:Fact|Test|Theory|TestMethod)\b|^\s*(?:it|specify)\s+['\"]|^\s*TEST(?:_[FP])?\("
)
_CASE_LINE = re.compile(r"^\s*(?:pytest\.param\(.*\)|[\[({].*[\])}]),?\s*(?:(?:#|//).*)?$")
_NUMBER = re.compile(r"(?<!\w)(?<!\w\.)\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_AMOUNT = re.compile(
    r"\b(?:range|linspace|arange|repeat|times|take|islice|randint|sample|choices)\s*\("
    r"|\b(?:max_examples|examples|iterations?|n_?(?:iter|samples|trials|runs)|samples|trials|rounds|repeats?|seeds|count"
    r"|limit|size|steps|max_?count|num_?\w+|N)\s*[:=]|\[\s*:?\s*\d*\s*:\s*-?\d+\s*\]|\b\w+\s*<=?\s*\d|\.\.=?\s*\d"
    r"|\b(?:--hypothesis-|--)?(?:max-examples|runs|fuzztime|count|num-\w+)[= ]"
)
_TOLERANCE = re.compile(
    r"\b(?:rel|abs|atol|rtol|rel_tol|abs_tol|delta|tol|tolerance|eps|epsilon|threshold|max_?diff|InDelta|margin)\b",
    re.IGNORECASE,
)
_PLACES = re.compile(r"\b(?:places|decimal|decimals|digits|significant)\s*=|\.toBeCloseTo\(|\bassertAlmostEqual\(")
_UNDER_TEST = re.compile(
    r"\bPYTEST_(?:CURRENT_TEST|VERSION|XDIST_WORKER)\b|['\"](?:pytest|unittest|nose|jest|mocha)['\"]\s+in\s+sys\.modules"
    r"|\bJEST_WORKER_ID\b|NODE_ENV['\"\])]*\s*(?:={2,3}|!==?)\s*['\"]test['\"]|\bVITEST\b|\bflag\.Lookup\(\s*\"test\."
    r"|\btesting\.Testing\(\)|\bcfg!\(test\)|\bisinstance\([^)]*\bMock\)|\bRAILS_ENV['\"\])]*\s*==\s*['\"]test['\"]"
    r"|\b(?:environ|getenv|env)\b[^\n]{0,40}['\"](?:CI|TESTING|TEST_MODE|IS_TEST)['\"]|\bsys\.argv\[0\][^\n]*(?:pytest|test)"
)
_LITERAL_CASE = re.compile(
    r"^\s*(?:\}?\s*else\s+|el)?if\s*\(?\s*(?:\w|\.|\[|\]|\(|\))+\s*(?:===?|\bin\b)\s*"
    r"(?P<literal>['\"][^'\"]*['\"]|-?\d[\w.]*|[\[({][^\])}]*[\])}])\s*\)?\s*[:{]?\s*(?P<then>return\b.*)?$"
)
_RETURNS_LITERAL = re.compile(
    r"^\s*(?:return|yield)\s*\(?\s*(?:True|true|None|null|nil|0|-?\d[\w.]*|['\"][^'\"]*['\"]|[\[({][^\])}]*[\])}])\s*\)?;?\s*$"
)
_VALIDATES = re.compile(r"\b(?:valid|verif|check|assert|ensure|guard|sanit|allow|permit|auth)\w*", re.IGNORECASE)
_SWALLOWS = re.compile(
    r"\|\|\s*(?:true|:)\s*(?:$|[;#\"'])|continue-on-error:\s*true|\ballow_failure:\s*true|--no-verify\b|\bset\s+\+e\b"
    r"|\bcontextlib\.suppress\(\s*(?:Base)?Exception\s*\)|\bcatch\s*(?:\([^)]*\))?\s*\{\s*\}|--passWithNoTests\b"
    r"|\bexcept\b[^:]*:\s*(?:pass|\.\.\.)\s*(?:#.*)?$|\brescue\s*(?:=>\s*\w+)?\s*;?\s*nil\b|--exit-zero\b|\b_\s*=\s*err\b"
)
_BROAD_CATCH = re.compile(r"^\s*except\s*(?:(?:Base)?Exception\b[^:]*)?:\s*(?:#.*)?$")
_DOES_NOTHING = re.compile(r"^\s*(?:pass|\.\.\.|continue|return(?:\s+(?:True|None))?)\s*(?:#.*)?$")


class Sign(msgspec.Struct, frozen=True):
    """One place to look at. `line` is of the new file, of the old one where `is_old`; 0 is the file as a whole."""

    kind: Kind
    path: str
    line: int
    text: str
    why: str
    is_old: bool = False


class _Line(msgspec.Struct, frozen=True):
    number: int
    text: str


class _Hunk(msgspec.Struct):
    """A run of removed lines and the added ones that follow it."""

    removed: list[_Line] = []
    added: list[_Line] = []


class _File(msgspec.Struct):
    path: str = ""
    is_deleted: bool = False
    is_new: bool = False
    hunks: list[_Hunk] = []

    @property
    def is_test(self) -> bool:
        return _TEST_FILE.search(self.path) is not None


def signs_of(diff: str) -> tuple[Sign, ...]:
    """The signs in a unified diff, as git prints it, in its order; at most two hundred."""
    found = list[Sign]()
    for file in _files(diff):
        found += _signs(file)
        if len(found) >= _MOST_SIGNS:
            break
    return tuple(found[:_MOST_SIGNS])


def _files(diff: str) -> Iterator[_File]:
    file: _File | None = None
    old = new = 0
    left_old = left_new = 0
    for line in diff.split("\n"):
        if left_old > 0 or left_new > 0:  # inside a hunk a line that begins with --- is a removed one
            assert file is not None  # a hunk belongs to a file
            sign, text = line[:1], line[1:][:_LONGEST_LINE]
            if sign == "-":
                _hunk(file, is_removal=True).removed.append(_Line(old, text))
            elif sign == "+":
                _hunk(file, is_removal=False).added.append(_Line(new, text))
            elif sign != "\\":
                file.hunks.append(_Hunk([], []))
            old, left_old = (old + 1, left_old - 1) if sign in "- " else (old, left_old)
            new, left_new = (new + 1, left_new - 1) if sign in "+ " else (new, left_new)
        elif line.startswith("diff --git ") or (line.startswith("--- ") and (file is None or file.hunks)):
            if file is not None:
                yield file
            file = _File(_path(line), hunks=[])
        elif file is None:
            continue
        if left_old > 0 or left_new > 0:
            continue
        if line.startswith("--- "):
            file.is_new = file.is_new or line[4:].strip() == "/dev/null"
            file.path = file.path if file.is_new else _path(line)
        elif line.startswith("+++ "):
            file.is_deleted = file.is_deleted or line[4:].strip() == "/dev/null"
            file.path = file.path if file.is_deleted else _path(line)
        elif line.startswith("deleted file mode"):
            file.is_deleted = True
        elif (place := _PLACE.match(line)) is not None:
            old, new = int(place["old"]), int(place["new"])
            left_old, left_new = int(place["olds"] or 1), int(place["news"] or 1)
            file.hunks.append(_Hunk([], []))
    if file is not None:
        yield file


_PLACE = re.compile(r"@@ -(?P<old>\d{1,9})(?:,(?P<olds>\d{1,9}))? \+(?P<new>\d{1,9})(?:,(?P<news>\d{1,9}))? @@")


def _path(line: str) -> str:
    """The path in a line of a file's head; of `diff --git a/x b/x` the second."""
    name = line.split(" ", 1)[1]
    name = name.rpartition(" b/")[2] if line.startswith("diff ") else name.split("\t")[0].strip()
    return name.strip('"').removeprefix("a/").removeprefix("b/")


def _hunk(file: _File, *, is_removal: bool) -> _Hunk:
    if is_removal and file.hunks[-1].added:
        file.hunks.append(_Hunk([], []))
    return file.hunks[-1]


def _signs(file: _File) -> Iterator[Sign]:
    if file.is_deleted and (file.is_test or "test" in file.path.lower()):
        yield Sign("deleted-input", file.path, 0, file.path, "a file of the tests was deleted", is_old=True)
        return
    if file.is_new and file.is_test:
        yield from _of_added(file)
        return
    if file.is_test:
        yield from _lost_checks(file)
        yield from _lost_inputs(file)
    for hunk in file.hunks:
        yield from _changed_numbers(file, hunk)
    yield from _of_added(file)


def _lost_checks(file: _File) -> Iterator[Sign]:
    """Assertions that are gone, or say less than they did."""
    kept = Counter(_plain(line.text) for hunk in file.hunks for line in hunk.added)
    for hunk in file.hunks:
        now = [line for line in hunk.added if _ASSERTION.search(line.text)]
        for line in (line for line in hunk.removed if _ASSERTION.search(line.text)):
            if kept[_plain(line.text)] > 0:  # it was moved
                kept[_plain(line.text)] -= 1
                continue
            other = next((one for one in now if _subject(one.text) == _subject(line.text)), now[0] if now else None)
            if other is None:
                yield _sign("weakened-assertion", file, line, "an assertion was removed", is_old=True)
                continue
            now.remove(other)
            if _EXACT.search(line.text) and not _EXACT.search(other.text) and _LOOSE.search(other.text):
                yield _sign("weakened-assertion", file, other, f"it was exact: {line.text.strip()[:_SHOWN]}")


def _lost_inputs(file: _File) -> Iterator[Sign]:
    """Tests that are gone, and cases and data that tests read."""
    kept = Counter(_plain(line.text) for hunk in file.hunks for line in hunk.added)
    for hunk in file.hunks:
        added = len(hunk.added)
        for line in hunk.removed:
            if _TEST_CASE.search(line.text) and not any(_is_case(one.text) for one in hunk.added):
                yield _sign("deleted-input", file, line, "a test was removed", is_old=True)
            elif kept[_plain(line.text)] > 0:
                kept[_plain(line.text)] -= 1
            elif not added and (_DATA_FILE.search(file.path) or _CASE_LINE.match(line.text)) and line.text.strip():
                why = "data that a test reads was removed" if _DATA_FILE.search(file.path) else "a case was removed"
                yield _sign("deleted-input", file, line, why, is_old=True)
                break


def _is_case(text: str) -> bool:
    return _TEST_CASE.search(text) is not None or _SKIP.search(text) is not None


def _changed_numbers(file: _File, hunk: _Hunk) -> Iterator[Sign]:
    """Lines that differ in a number alone: fewer values are tried, or more deviation is allowed."""
    waiting: dict[str, list[_Line]] = {}
    for line in hunk.removed:
        waiting.setdefault(_NUMBER.sub("#", _plain(line.text)), []).append(line)
    for line in hunk.added:
        same = waiting.get(_NUMBER.sub("#", _plain(line.text)))
        if not same:
            continue
        before = same.pop(0)
        pairs = list(zip(_numbers(before.text), _numbers(line.text), strict=True))
        less, more = any(new < old for old, new in pairs), any(new > old for old, new in pairs)
        if more and _TOLERANCE.search(line.text):
            yield _sign("weakened-assertion", file, line, f"more deviation is allowed than in {before.text.strip()}")
        elif less and file.is_test and _PLACES.search(line.text):
            yield _sign("weakened-assertion", file, line, f"fewer digits count than in {before.text.strip()}")
        elif less and (file.is_test or _is_of_suite(file)) and _AMOUNT.search(line.text):
            yield _sign("shrunk-range", file, line, f"less is tried than in {before.text.strip()}")


def _of_added(file: _File) -> Iterator[Sign]:
    """What an added line says by itself, or with the one after it."""
    for hunk in file.hunks:
        gone = {_plain(line.text) for line in hunk.removed}
        fresh = [line for line in hunk.added if _plain(line.text) not in gone]
        for line, after in zip_longest(fresh, fresh[1:]):
            text, then = line.text, after.text if after is not None else ""
            if text.lstrip().startswith(("#", "//", "*", "--")) and not text.lstrip().startswith("#["):
                continue
            if _EMPTY_CHECK.search(text):
                yield _sign("weakened-assertion", file, line, "this always holds")
            elif _SKIP.search(text) and (file.is_test or _is_of_suite(file)):
                yield _sign("weakened-assertion", file, line, "a test is skipped or expected to fail")
            elif _SWALLOWS.search(text) or (_BROAD_CATCH.match(text) and _DOES_NOTHING.match(then)):
                yield _sign("swallowed-failure", file, line, "a failure here is not heard of")
            elif not file.is_test and _UNDER_TEST.search(text):
                yield _sign("special-case", file, line, "it asks whether it is being tested")
            elif not file.is_test and _is_literal_case(hunk, text, then):
                yield _sign("special-case", file, line, "one value gets an answer of its own")


def _is_literal_case(hunk: _Hunk, text: str, then: str) -> bool:
    """An added branch on one literal whose answer is a literal: at most two of them, in something that was there.

    A table of many branches is what a parser or a dispatcher looks like.
    """
    found = _LITERAL_CASE.match(text)
    if found is None or found["literal"] in {'""', "''", "0", "()", "[]", "{}", "1"}:
        return False
    if sum(_LITERAL_CASE.match(line.text) is not None for line in hunk.added) > 2:  # noqa: PLR2004  # as said above
        return False
    answer = found["then"] or then
    if not _RETURNS_LITERAL.match(answer):
        return False
    in_new_function = any(re.match(r"\s*(?:async\s+)?(?:def|func|fn|function)\b", line.text) for line in hunk.added)
    return not in_new_function or any(_VALIDATES.search(line.text) for line in hunk.added[:1])


def _is_of_suite(file: _File) -> bool:
    """Whether the file says how a suite is run."""
    name = file.path.rpartition("/")[2]
    return name in _SUITE_FILES or "/workflows/" in f"/{file.path}"


_SUITE_FILES = frozenset(
    {
        *("pyproject.toml", "setup.cfg", "tox.ini", "pytest.ini", "noxfile.py", "Makefile", "package.json", "justfile"),
        *("jest.config.js", "jest.config.ts", "vitest.config.ts", "Cargo.toml", "build.gradle", "pom.xml"),
        *("go.mod", "Rakefile", ".gitlab-ci.yml", "phpunit.xml", "karma.conf.js"),
    }
)


def _sign(kind: Kind, file: _File, line: _Line, why: str, *, is_old: bool = False) -> Sign:
    return Sign(kind, file.path, line.number, line.text.strip()[:_SHOWN], why[: 2 * _SHOWN], is_old)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _subject(text: str) -> str:
    """What an assertion is about: its first words, without the kind of comparison."""
    words = re.findall(r"[A-Za-z_][\w.]*", text)
    return next((word for word in words if not _ASSERTION.search(f"{word}(") and word not in {"assert", "t"}), "")


def _numbers(text: str) -> list[float]:
    return [float(number.replace("_", "")) for number in _NUMBER.findall(_plain(text))]
