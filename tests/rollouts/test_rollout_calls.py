"""What the answer of a tool says about its call."""

import pytest

from armarius.rollouts.calls import (
    CustomToolCall,
    FunctionCall,
    LocalShellCall,
    Outcome,
    ShellAction,
    answered,
    outcome_of,
)
from armarius.rollouts.parts import Here
from armarius.thread import Command, FileChange, ItemStatus, PathChange, ToolCall

HERE = Here("a", line=1, byte=0, ordinal=None, timestamp="")
COMPLETED, FAILED, DECLINED = ItemStatus.COMPLETED, ItemStatus.FAILED, ItemStatus.DECLINED
RUNNING, UNKNOWN = ItemStatus.IN_PROGRESS, ItemStatus.UNKNOWN


EXITED = """\
Chunk ID: 160968
Wall time: 0.0900 seconds
Process exited with code 3
Original token count: 85
Output:
hello
"""
WITH_COMMAND = """\
Command: /bin/bash -lc false
Chunk ID: 50ad4f
Wall time: 0.0659 seconds
Process exited with code 0
Original token count: 0
Output:
"""
STILL_RUNNING = """\
Chunk ID: 97ac35
Wall time: 0.3009 seconds
Process running with session ID 81871
Original token count: 0
Output:
so far"""
PATCHED = """\
Exit code: 0
Wall time: 0.1 seconds
Output:
Success.
"""
SANDBOXED = """\
exec_command failed: CreateProcess { message: "Codex(Sandbox(Denied { output: \
ExecToolCallOutput { exit_code: 1, stdout: …"""
REJECTED = 'exec_command failed: CreateProcess { message: "Rejected(\\"no\\")" }'
STOPPED = "Wall time: 1.4 seconds\naborted by user"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EXITED, Outcome(FAILED, "hello\n", 3, 90_000)),
        (WITH_COMMAND, Outcome(COMPLETED, "", 0, 65_900)),
        (STILL_RUNNING, Outcome(RUNNING, "so far", session="81871")),
        (PATCHED, Outcome(COMPLETED, "Success.\n", 0, 100_000)),
        (
            '{"output":"a\\n","metadata":{"exit_code":2,"duration_seconds":0.5}}',
            Outcome(FAILED, "a\n", 2, 500_000),
        ),
        (SANDBOXED, Outcome(FAILED, SANDBOXED, 1)),
        (REJECTED, Outcome(DECLINED, REJECTED)),
        ("unsupported call: shell", Outcome(DECLINED, "unsupported call: shell")),
        ("apply_patch verification failed: x", Outcome(FAILED, "apply_patch verification failed: x")),
        (STOPPED, Outcome(UNKNOWN, STOPPED)),
        ('{"output":"a"}', Outcome(UNKNOWN, '{"output":"a"}')),
        ("", Outcome(UNKNOWN, "")),
    ],
)
def test_an_answer_says_how_its_call_ended(text: str, expected: Outcome) -> None:
    assert outcome_of(text) == expected


@pytest.mark.parametrize(
    "printed",
    [
        "Process exited with code 0\n",
        "Chunk ID: 1\nWall time: 0.1 seconds\nProcess exited with code 0\nOutput:\n",
        "Exit code: 0\nWall time: 0.1 seconds\nOutput:\n",
        '{"output":"","metadata":{"exit_code":0,"duration_seconds":0}}',
        "exec_command failed: \n",
    ],
)
def test_a_command_cannot_print_its_own_exit_code(printed: str) -> None:
    head = "Chunk ID: 160968\nWall time: 0.1 seconds\nProcess exited with code 9\nOutput:\n"

    assert outcome_of(head + printed) == Outcome(FAILED, printed, 9, 100_000)
    assert outcome_of("\n" + printed).exit_code is None


@pytest.mark.parametrize(("seconds", "duration_us"), [("1e308", 3_200_000_000_000_000), ("0", 0), ("1.5", 1_500_000)])
def test_an_absurd_duration_is_cut_and_not_fatal(seconds: str, duration_us: int) -> None:
    text = '{"output":"","metadata":{"exit_code":0,"duration_seconds":' + seconds + "}}"

    assert outcome_of(text).duration_us == duration_us


@pytest.mark.parametrize(
    ("name", "arguments", "command", "argv", "cwd"),
    [
        ("exec_command", '{"cmd":"ls -l","workdir":"/srv"}', "ls -l", (), "/srv"),
        ("shell", '{"command":["bash","-lc","a; b"]}', "a; b", ("bash", "-lc", "a; b"), None),
        ("shell", '{"command":["bash","a.sh","b"]}', "bash a.sh b", ("bash", "a.sh", "b"), None),
        ("shell", '{"command":["python","-c","1"]}', "python -c 1", ("python", "-c", "1"), None),
        ("shell", '{"command":["git","log","-n 1"]}', "git log '-n 1'", ("git", "log", "-n 1"), None),
        ("shell_command", '{"command":"make"}', "make", (), None),
        ("container.exec", '{"command":["ls"]}', "ls", ("ls",), None),
    ],
)
def test_a_call_of_a_command_tool_is_a_command(
    name: str, arguments: str, command: str, argv: tuple[str, ...], cwd: str | None
) -> None:
    assert FunctionCall("c1", name, arguments).value(HERE) == Command(
        "c1", command, HERE.spot, argv=argv, cwd=cwd, status=RUNNING
    )


@pytest.mark.parametrize("arguments", ["", "{}", "[]", '{"cmd":1}', "{" * 5000, '{"cmd":null}'])
def test_a_command_that_cannot_be_read_is_kept_as_a_call(arguments: str) -> None:
    assert FunctionCall("c1", "exec_command", arguments).value(HERE) == ToolCall(
        "c1", "exec_command", arguments, HERE.spot
    )


def test_a_shell_call_of_the_provider_is_a_command() -> None:
    call = LocalShellCall(ShellAction(["sh", "-c", "pwd"], "/srv"), "c1")

    assert call.value(HERE) == Command("c1", "pwd", HERE.spot, argv=("sh", "-c", "pwd"), cwd="/srv", status=RUNNING)


def test_a_patch_names_its_files_before_it_is_applied() -> None:
    patch = (
        "*** Begin Patch\n*** Add File: a.txt\n+x\n*** Update File: b c.txt\n*** Move to: d.txt\n@@\n-x\n+y\n"
        "*** Delete File: e.txt\n*** End Patch"
    )

    assert CustomToolCall("c1", "apply_patch", patch).value(HERE) == FileChange(
        "c1",
        (
            PathChange("a.txt", "add", "+x\n"),
            PathChange("b c.txt", "update", "@@\n-x\n+y\n"),
            PathChange("e.txt", "delete"),
            PathChange("d.txt", "add"),
        ),
        HERE.spot,
        RUNNING,
    )


def test_a_call_that_has_ended_keeps_its_end() -> None:
    ended = Command("c1", "ls", HERE.spot, status=COMPLETED, exit_code=0, output="a")

    assert answered(ended, "aborted") == ended
    told = ToolCall("c2", "t", "", HERE.spot, output="first")
    assert answered(told, "second") == told


def test_what_a_background_command_printed_adds_up() -> None:
    running = Command("c1", "make", HERE.spot, status=RUNNING)

    ended = answered(answered(running, STILL_RUNNING), EXITED)

    assert isinstance(ended, Command)
    assert (ended.output, ended.exit_code, ended.status) == ("so farhello\n", 3, FAILED)
