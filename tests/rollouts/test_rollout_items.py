"""What single records of real rollouts become."""

from pathlib import Path

import pytest

from armarius.rollouts.reader import read_rollout
from armarius.thread import (
    AgentMessage,
    Command,
    Compaction,
    FileChange,
    FileSpot,
    Item,
    ItemStatus,
    Other,
    PathChange,
    Reasoning,
    Sandbox,
    Thread,
    ToolCall,
    TurnState,
    Usage,
    UserMessage,
)

DATA = Path(__file__).parents[1] / "data" / "rollouts"


def thread_of(name: str) -> Thread:
    return read_rollout(DATA / f"{name}.jsonl")


def kinds_of(items: tuple[Item, ...]) -> list[str]:
    return [type(item).__name__ for item in items]


def test_a_thread_says_who_it_is_and_where_it_ran() -> None:
    thread = thread_of("0.169-tools")

    assert thread.id == "01a1f8dc-b678-76e0-8319-c9bb383e41bc"
    assert thread.path == str(DATA / "0.169-tools.jsonl")
    assert (thread.cwd, thread.originator, thread.model_provider) == ("/srv/cxlab/ws", "codex_exec", "fake")
    assert (thread.git_commit, thread.git_branch) == ("83b714f41e134158214334b14e53374c8c4bb4e2", "master")
    assert thread.history_mode == "paginated"
    assert thread.started_at_us == 1_795_176_576_645_000
    assert thread.last_at_us == 1_795_176_577_586_000


def test_a_turn_says_what_it_ran_with_and_how_it_ended() -> None:
    [turn] = thread_of("0.169-tools").turns

    assert turn.id == "01a1f8dc-b695-7952-92ca-d74865cfcc0f"
    assert (turn.model, turn.effort, turn.cwd) == ("gpt-5.5", None, "/srv/cxlab/ws")
    assert (turn.sandbox, turn.network, turn.approval) == (Sandbox.WORKSPACE_WRITE, False, "never")
    assert (turn.started_at_us, turn.ended_at_us) == (1_795_176_576_688_000, 1_795_176_577_586_000)
    assert (turn.final_message, turn.error) == ("All done.", None)


def test_items_stand_in_the_order_in_which_they_began() -> None:
    [turn] = thread_of("0.169-tools").turns

    assert kinds_of(turn.items) == [
        "UserMessage",
        "Reasoning",
        "AgentMessage",
        "Command",
        "Command",
        "ToolCall",
        "FileChange",
        "AgentMessage",
    ]
    reasoning, message, failed, worked, plan, patch, last = turn.items[1:]
    assert isinstance(reasoning, Reasoning)
    assert reasoning.text == "thinking about it"
    assert isinstance(message, AgentMessage)
    assert (message.text, message.phase) == ("Let me look", "commentary")
    assert isinstance(failed, Command)
    assert failed.output.startswith("hello\ntotal 16\n")
    assert worked == Command(
        "call_2_4",
        "seq 1 3; sleep 0.3; echo done > made.txt",
        FileSpot(str(DATA / "0.169-tools.jsonl"), 49_532, 20),
        argv=("/bin/bash", "-lc", "seq 1 3; sleep 0.3; echo done > made.txt"),
        cwd="/srv/cxlab/ws",
        status=ItemStatus.COMPLETED,
        exit_code=0,
        output="1\n2\n3\n",
        duration_us=207_160,
        at_us=1_795_176_577_355_000,
    )
    assert isinstance(plan, ToolCall)
    assert (plan.name, plan.output) == ("update_plan", "unsupported call: update_plan")
    assert isinstance(patch, FileChange)
    assert patch.changes == (
        PathChange("/srv/cxlab/ws/new.txt", "add", "+line1\n"),
        PathChange("/srv/cxlab/ws/a.txt", "update", "@@ -1 +1 @@\n-hi\n+hi2\n"),
    )
    assert patch.status is ItemStatus.COMPLETED
    assert isinstance(last, AgentMessage)
    assert (last.text, last.phase) == ("All done.", "final_answer")


def test_commands_inside_of_code_are_items_beside_the_code() -> None:
    [turn] = thread_of("0.169-codemode").turns

    assert kinds_of(turn.items) == [
        "UserMessage",
        "AgentMessage",
        "ToolCall",
        "Command",
        "FileChange",
        "ToolCall",
        "Command",
        "Command",
        "AgentMessage",
    ]
    code = turn.items[2]
    assert isinstance(code, ToolCall)
    assert code.arguments.startswith("const r = await tools.exec_command(")
    assert code.output is not None
    assert code.output.startswith("Script completed\n")
    assert [item.command for item in turn.items if isinstance(item, Command)] == [
        "echo hi from js; pwd",
        "sleep 0.2; echo one",
        "sleep 0.2; echo two",
    ]


def test_what_codex_ran_and_did_not_report_is_read_from_the_call() -> None:
    [turn] = thread_of("0.163-denied").turns

    unreported, reported, refused, wrong = turn.items[1:5]
    assert isinstance(unreported, Command)
    assert (unreported.command, unreported.exit_code, unreported.status) == (
        "touch /etc/nope",
        1,
        ItemStatus.FAILED,
    )
    assert unreported.output == "touch: cannot touch '/etc/nope': Read-only file system\n"
    assert isinstance(reported, Command)
    assert reported.argv == ("/bin/bash", "-lc", "false")
    assert isinstance(refused, FileChange)
    assert (refused.changes, refused.status) == ((PathChange("x.txt", "add", "+a\n"),), ItemStatus.DECLINED)
    assert isinstance(wrong, FileChange)
    assert (wrong.changes, wrong.status) == ((PathChange("none.txt", "update", "@@\n-a\n+b\n"),), ItemStatus.FAILED)


def test_a_background_command_is_one_command_with_the_exit_code_it_ended_with() -> None:
    [turn] = thread_of("0.163-background").turns

    assert kinds_of(turn.items) == ["UserMessage", "Command", "ToolCall", "AgentMessage"]
    command = turn.items[1]
    assert isinstance(command, Command)
    assert (command.exit_code, command.output, command.duration_us) == (7, "late\n", 1_902_702)


def test_commands_of_wrapped_rollouts_are_read_from_calls_and_answers() -> None:
    """0.163 writes no event for a command into a thread of the old format, see the second turn."""
    first, second, third = thread_of("0.163-legacy-resumed").turns

    assert kinds_of(first.items) == ["UserMessage", "Command", "AgentMessage"]
    listed = first.items[1]
    assert isinstance(listed, Command)
    assert (listed.argv, listed.command, listed.cwd) == (("bash", "-lc", "ls"), "ls", "/srv/lab/ws")
    assert (listed.exit_code, listed.output, listed.status) == (0, "a", ItemStatus.COMPLETED)

    assert kinds_of(second.items) == [
        "UserMessage",
        "Command",
        "ToolCall",
        "Command",
        "Command",
        "AgentMessage",
    ]
    late, _, denied, forbidden = second.items[1:5]
    assert isinstance(late, Command)
    assert (late.command, late.exit_code, late.output) == ("sleep 2; echo late; exit 7", 7, "late\n")
    assert isinstance(denied, Command)
    assert (denied.exit_code, denied.status) == (1, ItemStatus.FAILED)
    assert isinstance(forbidden, Command)
    assert (forbidden.exit_code, forbidden.status) == (None, ItemStatus.DECLINED)

    assert (third.state, third.error) == (TurnState.FAILED, '{"error": {"message": "bad thing"}}')
    assert third.final_message is None


def test_a_patch_of_a_wrapped_rollout_is_one_item() -> None:
    [turn] = thread_of("0.169-legacy").turns

    assert kinds_of(turn.items) == ["UserMessage", "Reasoning", "Command", "FileChange", "AgentMessage"]
    patch = turn.items[3]
    assert isinstance(patch, FileChange)
    assert patch.changes == (PathChange("/srv/cxlab/ws/leg.txt", "add", "+x\n"),)
    assert patch.status is ItemStatus.COMPLETED


def test_turns_without_markers_are_told_apart_by_what_the_user_said() -> None:
    first, second = thread_of("0.98-two-turns").turns

    assert [item.text for item in first.items if isinstance(item, UserMessage)] == ["RUN[echo hello; ls]"]
    assert [item.text for item in second.items if isinstance(item, UserMessage)] == ["RUN[false]"]
    assert (first.model, first.sandbox, first.approval) == ("mock-model", Sandbox.READ_ONLY, "never")
    assert first.id != second.id


def test_a_stop_leaves_the_command_with_the_exit_code_that_codex_wrote_afterwards() -> None:
    [turn] = thread_of("0.169-sigint").turns

    command = turn.items[-1]
    assert isinstance(command, Command)
    assert (command.exit_code, command.status) == (137, ItemStatus.FAILED)


@pytest.mark.parametrize(
    ("name", "status"),
    [("0.169-killed", ItemStatus.IN_PROGRESS), ("0.169-killed-and-resumed", ItemStatus.UNKNOWN)],
)
def test_a_kill_leaves_the_turn_open_and_its_command_without_an_exit_code(name: str, status: ItemStatus) -> None:
    turn = thread_of(name).turns[0]

    assert (turn.state, turn.ended_at_us, turn.sandbox) == (TurnState.OPEN, None, Sandbox.WORKSPACE_WRITE)
    command = turn.items[-1]
    assert isinstance(command, Command)
    assert command.command.startswith("echo start > ")
    assert (command.exit_code, command.status) == (None, status)


def test_a_resumed_turn_has_its_own_sandbox() -> None:
    killed, resumed = thread_of("0.169-killed-and-resumed").turns

    assert (killed.sandbox, resumed.sandbox) == (Sandbox.WORKSPACE_WRITE, Sandbox.READ_ONLY)


def test_a_failed_turn_has_the_error_of_its_end_marker() -> None:
    [turn] = thread_of("0.169-rate-limited").turns

    assert turn.state is TurnState.FAILED
    assert turn.error is not None
    assert "hit your usage limit" in turn.error


def test_a_spawned_agent_does_not_own_what_was_copied_from_its_parent() -> None:
    child, parent = thread_of("0.169-subagent-child"), thread_of("0.169-subagent-parent")

    assert child.parent_id == child.forked_from_id == parent.id
    assert {turn.id for turn in child.turns}.isdisjoint(turn.id for turn in parent.turns)
    assert [response.response_id for response in child.responses] == ["resp_0123", "resp_0124"]
    assert kinds_of(child.turns[0].items) == ["Other", "ToolCall", "AgentMessage"]
    task = child.turns[0].items[0]
    assert isinstance(task, Other)
    assert (task.kind, b"NEW_TASK" in task.raw) == ("agent_message", True)
    assert (child.turns[0].model, child.turns[0].effort) == ("gpt-6-sol", "medium")


def test_what_an_agent_did_to_another_is_a_call_and_the_rest_is_kept() -> None:
    [turn] = thread_of("0.169-subagent-parent").turns

    assert kinds_of(turn.items) == ["UserMessage", "ToolCall", "Other", "ToolCall", "AgentMessage", "Other"]
    spawned = turn.items[1]
    assert isinstance(spawned, ToolCall)
    assert (spawned.name, spawned.output) == ("spawn_agent", '{"task_name":"/home/child1"}')


def test_a_fork_owns_what_came_after_it_and_its_usage_is_its_own() -> None:
    thread = thread_of("0.169-fork")

    assert thread.forked_from_id == "01a1f8dc-b678-76e0-8319-c9bb383e41bc"
    assert thread.usage == Usage(input=1000, cached_input=400, output=50, reasoning=10)
    assert thread.usage.total == 1050


def test_the_turn_of_a_review_is_not_its_parents() -> None:
    thread = thread_of("0.169-review-parent")

    assert [turn.id for turn in thread.turns] == ["01a1f8e3-05bf-7652-87a8-fa95a7bdc942"]
    items = thread.turns[0].items
    assert [item.kind if isinstance(item, Other) else "AgentMessage" for item in items] == [
        "EnteredReviewMode",
        "ExitedReviewMode",
        "AgentMessage",
    ]


def test_a_compaction_is_one_item() -> None:
    last = thread_of("0.169-compaction").turns[-1]

    assert [item.id for item in last.items if isinstance(item, Compaction)] == ["01a1f8ec-e5da-7d31-a35c-02ee04ff7b7a"]
    assert kinds_of(last.items) == ["Compaction"]


def test_only_what_the_user_said_is_a_user_message() -> None:
    """The same request carried a skill's text, AGENTS.md and the environment in the user's role."""
    [turn] = thread_of("0.169-skill").turns

    said = [item.text for item in turn.items if isinstance(item, UserMessage)]
    assert len(said) == 1
    assert said[0].startswith("please use $sk-homeagents and $sk-noimpl")


def test_responses_before_usage_records_are_named_after_where_their_total_grew() -> None:
    responses = thread_of("0.58-command").responses

    assert [response.response_id.rpartition("-")[0] for response in responses] == ["token_count-at-byte"] * 2
    assert [response.usage.input for response in responses] == [1015, 1016]


def test_a_kill_between_a_response_and_its_total_loses_no_tokens() -> None:
    """The totals of that thread start again from nothing after the kill; its records do not."""
    thread = thread_of("0.169-killed-and-resumed")

    assert [response.response_id for response in thread.responses] == ["resp_0094", "resp_0100"]
