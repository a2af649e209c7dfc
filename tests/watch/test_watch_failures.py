"""What a command printed: which of it says that something failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.watch.failures import failure_in, only_shows

TRACEBACK = """Traceback (most recent call last):
  File "/work/a.py", line 3, in <module>
    run()
    ~~~^^
  File "/work/a.py", line 1, in run
    raise ValueError("no such thing")
"""


@pytest.mark.parametrize(
    ("output", "tool", "line"),
    [
        ("FAILED tests/test_a.py::test_b - assert 1 == 2", "pytest", "FAILED tests/test_a.py::test_b - assert 1 == 2"),
        ("ERROR tests/test_a.py - ImportError: x", "pytest", "ERROR tests/test_a.py - ImportError: x"),
        ("tests/test_a.py::test_b FAILED      [ 50%]", "pytest", "tests/test_a.py::test_b FAILED      [ 50%]"),
        ("..F.\n==== 1 failed, 3 passed in 0.12s ====", "pytest", "==== 1 failed, 3 passed in 0.12s ===="),
        ("2 passed, 1 error in 61.20s (0:01:01)", "pytest", "2 passed, 1 error in 61.20s (0:01:01)"),
        ("\x1b[31mFAILED\x1b[0m tests/a.py::\x1b[1mt\x1b[0m\r\n", "pytest", "FAILED tests/a.py::t"),
        (TRACEBACK + "ValueError: no such thing\n", "python", "ValueError: no such thing"),
        ('  File "a.py", line 1\n    f(\n     ^\nSyntaxError: never closed\n', "python", "SyntaxError: never closed"),
        ("FAIL: test_x (tests.T.test_x)", "unittest", "FAIL: test_x (tests.T.test_x)"),
        ("a.c:3:5: error: expected ';'", "gcc", "a.c:3:5: error: expected ';'"),
        ("In file included\nx/b.h:9: fatal error: no.h: gone", "gcc", "x/b.h:9: fatal error: no.h: gone"),
        ("clang: error: linker command failed with exit code 1", "gcc", "clang: error: linker command failed with exit code 1"),  # noqa: E501
        ("main.o: in function `main':\na.c:(.text+0x5): undefined reference to `f'", "ld", "a.c:(.text+0x5): undefined reference to `f'"),  # noqa: E501
        ("error[E0308]: mismatched types\n --> src/main.rs:2:5", "rustc", "error[E0308]: mismatched types"),
        ("error: could not compile `a` (bin) due to 1 error", "cargo", "error: could not compile `a` (bin) due to 1 error"),  # noqa: E501
        ("test it::works ... FAILED", "cargo", "test it::works ... FAILED"),
        ("thread 'main' panicked at src/main.rs:1:2:", "rust", "thread 'main' panicked at src/main.rs:1:2:"),
        ("src/a.ts(3,4): error TS2322: no", "tsc", "src/a.ts(3,4): error TS2322: no"),
        ("src/a.ts:3:4 - error TS2322: no", "tsc", "src/a.ts:3:4 - error TS2322: no"),
        ("# x\n./a.go:3:4: undefined: y", "go", "./a.go:3:4: undefined: y"),
        ("--- FAIL: TestIt (0.00s)", "go", "--- FAIL: TestIt (0.00s)"),
        ("panic: boom\n\ngoroutine 1 [running]:\n", "go", "panic: boom"),
        ("src/A.java:3: error: ';' expected", "javac", "src/A.java:3: error: ';' expected"),
        ('Exception in thread "main" java.lang.Error: x', "java", 'Exception in thread "main" java.lang.Error: x'),
        ("TypeError: x is not a function\n    at f (/a.js:1:1)", "node", "TypeError: x is not a function"),
        ("make: *** [Makefile:2: all] Error 1", "make", "make: *** [Makefile:2: all] Error 1"),
        ("gmake[2]: *** No rule for 'x'.  Stop.", "make", "gmake[2]: *** No rule for 'x'.  Stop."),
    ],
)  # fmt: skip
def test_a_failure_is_found_and_shown_by_its_line(output: str, tool: str, line: str) -> None:
    found = failure_in(output)
    assert found is not None
    assert (found.tool, found.line) == (tool, line)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "all good\n",
        "==== 12 passed, 1 skipped, 2 xfailed in 3.10s ====",
        "0 failed, 3 passed in 1.0s",
        "no error here, and nothing FAILED",
        "  FAILED is what it would say",
        "the Traceback (most recent call last): of old",
        TRACEBACK,  # where it ends nobody knows yet
        "a.c:3:5: warning: unused variable 'x'",
        "error handling: see docs/errors.md",
        "make: Nothing to be done for 'all'.",
        "make: *** is what it prints"[6:],
        "test it::works ... ok",
        "--- PASS: TestIt (0.00s)",
    ],
)
def test_what_only_speaks_of_failures_is_none(output: str) -> None:
    assert failure_in(output) is None


@given(cut=st.integers(0, 400))
def test_an_output_in_pieces_has_the_failure_of_the_whole_or_none_yet(cut: int) -> None:
    whole = "collected 2 items\n" + TRACEBACK + "ValueError: no such thing\nFAILED tests/test_a.py::test_b - x\n"
    assert failure_in(whole[:cut], is_whole=False) in (None, failure_in(whole))


@pytest.mark.parametrize(
    "output", ["Traceback (most recent call last):\n" + "  x\n" * 300_000, "a:" * 600_000, "Error: x\n" * 100_000]
)
def test_hostile_output_takes_no_longer_than_its_length(output: str) -> None:
    assert failure_in(output) is None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cat build.log", True),
        ("cd x && sed -n 1,40p a.py | head", True),
        ("echo === && grep -rn Traceback .", True),
        ("git --no-pager log -p", True),
        ("find . -name '*.log'", True),
        ("pytest -q", False),
        ("pytest -q 2>&1 | tail -5", False),
        ("echo 'Traceback'", False),
        ("cat a.log; make", False),
        ("find . -name x -exec pytest {} +", False),
        ("PYTHONPATH=. python run.py", False),
        ("cat 'unfinished", False),
    ],
)
def test_a_command_that_only_shows_what_was_there_is_told_apart(command: str, expected: bool) -> None:  # noqa: FBT001
    assert only_shows(command) is expected
