"""Which words of a codex command line are passed on."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.codex.passthrough import Given, read_words
from armarius.errors import Refused, UsageError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), Given()),
        (("fix it",), Given("fix it")),
        (("-m", "login", "exec", "hi"), Given("exec")),
        (("-cmodel=x", "-c=y=1", "--config", "z=2", "--config=w=3"), Given(overrides=("model=x", "y=1", "z=2", "w=3"))),
        (("-p", "one", "-C", "/x", "exec"), Given("exec", profile="one", folder="/x")),
        (("--profile=one", "-C/x", "resume"), Given("resume", profile="one", folder="/x")),
        (("mcp", "login", "docs"), Given("mcp")),
        (("exec", "--", "--oss", "login"), Given("exec")),
    ],
)
def test_words_are_read_as_codex_reads_them(words: tuple[str, ...], expected: Given) -> None:
    assert read_words(words) == expected


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("login",), "exec-login"),
        (("logout",), "exec-login"),
        (("-m", "x", "login", "--device-auth"), "exec-login"),
        (("--flag-of-tomorrow", "value", "login"), "exec-login"),
        (("login", "--with-api-key"), "exec-login"),
        (("exec", "--with-api-key"), "exec-login"),
        (("--oss",), "exec-provider"),
        (("exec", "--oss", "hi"), "exec-provider"),
        (("--local-provider=ollama",), "exec-provider"),
        (("--remote", "ws://127.0.0.1:1"), "exec-provider"),
        (("-s", "danger-full-access"), "sandbox-danger"),
        (("-sdanger-full-access",), "sandbox-danger"),
        (("--sandbox=danger-full-access",), "sandbox-danger"),
        (("--dangerously-bypass-approvals-and-sandbox",), "sandbox-danger"),
        (("-c", "sandbox_mode=danger-full-access"), "sandbox-danger"),
        (("-c", 'sandbox_mode="danger\\u002dfull-access"'), "sandbox-danger"),
        (("-c", 'profiles={a={sandbox_mode="danger-full-access"}}'), "sandbox-danger"),
        (("-c", 'sandbox_mode="danger-full\\x2daccess"'), "sandbox-danger"),
        (("-c", 'profiles={a={sandbox_mode="danger\\U0000002Dfull-\\x61ccess"},}'), "sandbox-danger"),
        (("-c", 'sandbox_mode="""danger-\\\n   full-access"""'), "sandbox-danger"),
    ],
)
def test_what_changes_the_login_the_provider_or_takes_the_sandbox_away_is_refused(
    words: tuple[str, ...], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        read_words(words)
    assert refused.value.code == code


def test_a_flag_without_its_value_is_a_wrong_command_line() -> None:
    with pytest.raises(UsageError):
        read_words(("exec", "-c"))


@given(st.lists(st.text(max_size=12) | st.sampled_from(["-c", "--", "-", "exec", "-s", "--config", "v=[[", "x={"])))
def test_no_words_do_worse_than_to_be_refused(words: list[str]) -> None:
    with contextlib.suppress(Refused, UsageError):
        assert read_words(words) is not None
