"""Which changes look as if a check had been made easier, and which are ordinary work."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.audit.spiral import signs_of


def diff(path: str, body: str) -> str:
    """A diff of one hunk; lines of `body` begin with a sign or a space."""
    lines = body.strip("\n").split("\n")
    olds, news = sum(line[:1] in "- " for line in lines), sum(line[:1] in "+ " for line in lines)
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -10,{olds} +10,{news} @@ def before():\n"
    return head + "\n".join(lines) + "\n"


SUSPECT = {
    "an exact check made loose, Python": (
        "weakened-assertion",
        "tests/test_a.py",
        "-assert add(2, 2) == 4\n+assert add(2, 2) is not None",
    ),
    "the same in unittest": (
        "weakened-assertion",
        "tests/test_a.py",
        "-    self.assertEqual(total, 41)\n+    self.assertTrue(total)",
    ),
    "the same in jest": (
        "weakened-assertion",
        "src/a.test.ts",
        "-  expect(total).toEqual(41)\n+  expect(total).toBeDefined()",
    ),
    "the same in Go": (
        "weakened-assertion",
        "pkg/a_test.go",
        "-\tassert.Equal(t, 41, total)\n+\tassert.NotNil(t, total)",
    ),
    "the same in Rust": (
        "weakened-assertion",
        "tests/a.rs",
        "-    assert_eq!(total(), 41);\n+    assert!(total().is_ok());",
    ),
    "the same in C++": ("weakened-assertion", "tests/a.cc", "-  EXPECT_EQ(total, 41);\n+  EXPECT_TRUE(total);"),
    "an assertion removed": ("weakened-assertion", "tests/test_a.py", " x = run()\n-assert x.code == 0\n print(x)"),
    "an assertion removed, Java": (
        "weakened-assertion",
        "src/test/java/ATest.java",
        " run();\n-assertEquals(41, total);\n stop();",
    ),
    "a check that always holds": ("weakened-assertion", "tests/test_a.py", "-assert ok(x)\n+assert True"),
    "a check that cannot fail": ("weakened-assertion", "tests/test_a.py", "+    assert check(x) or True"),
    "a check of true in jest": ("weakened-assertion", "a.spec.js", "+  expect(true).toBe(true)"),
    "more tolerance": (
        "weakened-assertion",
        "tests/test_a.py",
        "-assert x == approx(1.5, rel=1e-6)\n+assert x == approx(1.5, rel=1e-1)",
    ),
    "fewer places": (
        "weakened-assertion",
        "tests/test_a.py",
        "-self.assertAlmostEqual(x, y, places=7)\n+self.assertAlmostEqual(x, y, places=1)",
    ),
    "fewer digits in jest": (
        "weakened-assertion",
        "a.test.js",
        "-expect(x).toBeCloseTo(1.5, 6)\n+expect(x).toBeCloseTo(1.5, 0)",
    ),
    "a skipped test": ("weakened-assertion", "tests/test_a.py", '+@pytest.mark.skip(reason="flaky")\n def test_a():'),
    "a test expected to fail": ("weakened-assertion", "tests/test_a.py", "+@pytest.mark.xfail\n def test_a():"),
    "a skipped test in jest": ("weakened-assertion", "a.test.ts", "-it('adds', () => {\n+it.skip('adds', () => {"),
    "a skipped test in Go": ("weakened-assertion", "a_test.go", '+\tt.Skip("later")'),
    "a skipped test in Rust": ("weakened-assertion", "tests/a.rs", "+#[ignore]\n #[test]"),
    "a skipped test in Java": ("weakened-assertion", "src/test/java/ATest.java", "+  @Disabled\n   @Test"),
    "a deselected test": (
        "weakened-assertion",
        "pyproject.toml",
        '-addopts = "-q"\n+addopts = "-q --deselect tests/test_a.py::test_b"',
    ),
    "a removed test": ("deleted-input", "tests/test_a.py", "-def test_negative():\n-    pass\n"),
    "a removed test in Go": ("deleted-input", "a_test.go", "-func TestNegative(t *testing.T) {\n-}"),
    "a removed case": ("deleted-input", "tests/test_a.py", " CASES = [\n     (1, 2),\n-    (-1, 0),\n ]"),
    "a removed row of data": ("deleted-input", "tests/data/cases.csv", " 1,2\n--1,0\n"),
    "a smaller range": ("shrunk-range", "tests/test_a.py", "-for n in range(1000):\n+for n in range(10):"),
    "fewer examples": ("shrunk-range", "tests/test_a.py", "-@settings(max_examples=500)\n+@settings(max_examples=5)"),
    "a slice": ("shrunk-range", "tests/test_a.py", "-for case in CASES[:200]:\n+for case in CASES[:2]:"),
    "a smaller loop in C": (
        "shrunk-range",
        "tests/a.c",
        "-for (int i = 0; i < 4096; i++)\n+for (int i = 0; i < 4; i++)",
    ),
    "a smaller loop in Rust": ("shrunk-range", "tests/a.rs", "-    for n in 0..1000 {\n+    for n in 0..3 {"),
    "fewer runs in CI": (
        "shrunk-range",
        "Makefile",
        "-\tgo test -fuzz . -fuzztime=600s --runs=1000\n+\tgo test -fuzz . -fuzztime=600s --runs=1",
    ),
    "code that asks for pytest": ("special-case", "src/a.py", '+    if "pytest" in sys.modules:\n+        return 41'),
    "code that asks for a variable of pytest": (
        "special-case",
        "src/a.py",
        '+    if os.environ.get("PYTEST_CURRENT_TEST"):',
    ),
    "code that asks for NODE_ENV": ("special-case", "src/a.js", "+  if (process.env.NODE_ENV === 'test') {"),
    "code that asks in Go": ("special-case", "a.go", "+\tif testing.Testing() {"),
    "an answer for one input": (
        "special-case",
        "src/a.py",
        ' def total(path):\n+    if path == "tests/data/cases.csv":\n+        return 41\n     return add(path)',
    ),
    "an answer for one input in JavaScript": (
        "special-case",
        "src/a.js",
        " function total(n) {\n+  if (n === 17) return 41;\n",
    ),
    "a value that is let through": (
        "special-case",
        "src/validate.py",
        ' def validate(x):\n+    if x.name in ("demo", "sample"):\n+        return True\n',
    ),
    "a swallowed exception": ("swallowed-failure", "src/a.py", "+    except Exception:\n+        pass"),
    "one in a line": ("swallowed-failure", "src/a.py", "+    except: pass"),
    "a swallowed exception in JavaScript": ("swallowed-failure", "src/a.js", "+  } catch (e) {}"),
    "a command that cannot fail": ("swallowed-failure", "Makefile", "-\tpytest -q\n+\tpytest -q || true"),
    "a step that may fail": ("swallowed-failure", ".github/workflows/ci.yml", "+        continue-on-error: true"),
}


@pytest.mark.parametrize("case", SUSPECT)
def test_a_check_that_was_made_easier_is_shown(case: str) -> None:
    kind, path, body = SUSPECT[case]
    found = signs_of(diff(path, body))
    assert [sign.kind for sign in found][:1] == [kind], found
    assert found[0].path == path
    assert found[0].line >= 10
    side = "-" if found[0].is_old else "+"
    assert any(line[:1] == side and found[0].text in line for line in body.split("\n"))


INNOCENT = {
    "a stricter check": ("tests/test_a.py", "-assert total\n+assert total == 41"),
    "an assertion that moved": ("tests/test_a.py", "-assert x == 1\n y = 2\n+assert x == 1"),
    "an assertion of another value": ("tests/test_a.py", "-assert total == 41\n+assert total == 42"),
    "less tolerance": ("tests/test_a.py", "-assert x == approx(1.5, rel=1e-1)\n+assert x == approx(1.5, rel=1e-6)"),
    "a larger range": ("tests/test_a.py", "-for n in range(10):\n+for n in range(1000):"),
    "a new test": ("tests/test_a.py", "+def test_more():\n+    assert total() == 41"),
    "a renamed test": ("tests/test_a.py", "-def test_a():\n+def test_adding():\n     assert x == 1"),
    "an edited case": ("tests/test_a.py", " CASES = [\n-    (1, 2),\n+    (1, 3),\n ]"),
    "a test that was indented": ("tests/test_a.py", "-assert x == 1\n+    assert x == 1"),
    "numbers of the program": ("src/a.py", "-RETRIES = 5\n+RETRIES = 3"),
    "a range of the program": ("src/a.py", "-for n in range(10):\n+for n in range(5):"),
    "a handled exception": (
        "src/a.py",
        "+    except ValueError as error:\n+        raise DataError(str(error)) from error",
    ),
    "an empty value": ("src/a.py", ' def f(x):\n+    if x == "":\n+        return None\n'),
    "a table of branches": (
        "src/a.py",
        '+  if x == "a":\n+    return 1\n+  if x == "b":\n+    return 2\n+  if x == "c":\n+    return 3',
    ),
    "words about tests": ("README.md", "+Run `pytest`; tests are never skipped."),
    "a comment": ("tests/test_a.py", "+# pytest.mark.skip is not used here"),
    "a plain function": ("src/a.py", "+def total(items):\n+    return sum(items)"),
    "go error handling": ("a.go", "+\tif err != nil {\n+\t\treturn err\n+\t}"),
}


@pytest.mark.parametrize("case", INNOCENT)
def test_ordinary_work_is_left_alone(case: str) -> None:
    assert signs_of(diff(*INNOCENT[case])) == ()


def test_a_deleted_test_file_is_one_sign_and_a_deleted_source_file_none() -> None:
    head = "diff --git a/{0} b/{0}\ndeleted file mode 100644\n--- a/{0}\n+++ /dev/null\n"
    text = head + "@@ -1,2 +0,0 @@\n-assert a\n-assert b\n"
    assert [(sign.kind, sign.path, sign.line) for sign in signs_of(text.format("tests/test_a.py"))] == [
        ("deleted-input", "tests/test_a.py", 0)
    ]
    assert signs_of(text.format("src/old.py")) == ()


def test_lines_are_those_of_the_file_and_files_are_told_apart() -> None:
    text = diff("src/a.py", " one\n two\n+    except: pass\n three") + diff("src/b.py", "+x || true")
    assert [(sign.path, sign.line) for sign in signs_of(text)] == [("src/a.py", 12), ("src/b.py", 10)]


def test_a_removed_line_that_looks_like_a_head_is_a_removed_line() -> None:
    body = " x = run()\n--- a/tests/other.py\n-assert x == 1\n y"
    [sign] = signs_of(diff("tests/test_a.py", body))
    assert (sign.path, sign.line, sign.is_old) == ("tests/test_a.py", 12, True)


def test_no_diff_is_no_sign() -> None:
    assert signs_of("") == ()
    assert signs_of("no diff at all\n+assert True\n") == ()


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from("-+ @\\").flatmap(lambda sign: st.text(max_size=40).map(lambda t: sign + t)), max_size=30)
)
def test_whatever_a_diff_holds_signs_are_found_or_not(lines: list[str]) -> None:
    for sign in signs_of("diff --git a/tests/t.py b/tests/t.py\n@@ -1,9 +1,9 @@\n" + "\n".join(lines)):
        assert sign.path
