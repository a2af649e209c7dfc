"""The table of tools, and which of them are open.

Owns what is offered, under which name, with which risk. Does not own inputs (`wishes.py`) nor answers.
Invariant: a tool that changes something is open only when it was named by the user; to an agent that
Armarius itself runs, only what reads is open, whatever was named.
"""

import enum
from collections.abc import Collection

import msgspec

from armarius.errors import UsageError, nearest
from armarius.mcp_server import wishes, wishes_more
from armarius.mcp_server.wishes import Wish

__all__ = ["TOOLS", "Risk", "Tool", "open_tools"]


class Risk(enum.Enum):
    """What a tool can do at worst."""

    READS = "reads"
    ASKS = "asks"
    """It asks a model, which costs something, and changes no file."""
    CHANGES = "changes"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool: `command` is what it calls, `answers` the names of what comes back.

    An error of `expected` is an answer, too. `is_stream`: every line is one, the last is what came of it;
    the others are progress. `follows` has its progress in the events of a run.
    """

    name: str
    command: tuple[str, ...]
    says: str
    wish: type[Wish]
    answers: tuple[str, ...]
    risk: Risk = Risk.READS
    expected: tuple[str, ...] = ()
    is_stream: bool = False
    follows: bool = False


_WORKS = (
    " Progress tells what Codex does; cancelling ends the run. A failed run is an answer: see `state` and `problem`."
)

_ALL = (
    Tool(
        name="sessions_list",
        command=("sessions", "list"),
        says="List Codex sessions of this machine: those that need a person first, then the newest.",
        wish=wishes.Sessions,
        answers=("sessions",),
    ),
    Tool(
        name="sessions_show",
        command=("sessions", "show"),
        says="Show one session: its state with the evidence, its goal, how long it is quiet, the last five messages.",
        wish=wishes.SessionName,
        answers=("brief",),
    ),
    Tool(
        name="sessions_search",
        command=("sessions", "search"),
        says="Find words in what was said and run in all sessions.",
        wish=wishes.SessionsSearch,
        answers=("search",),
    ),
    Tool(
        name="watch",
        command=("watch",),
        says=(
            "Wait until something happens that somebody would act on, and say what. It returns with the first signals, "
            "or without any after `timeout_s`. Hand the `cursor` of the answer in again, and nothing is missed."
        ),
        wish=wishes.WatchWish,
        answers=("mcp_watch",),
    ),
    Tool(
        name="runs_list",
        command=("runs", "list"),
        says="List what Armarius has run, newest first.",
        wish=wishes.Runs,
        answers=("runs",),
    ),
    Tool(
        name="runs_show",
        command=("runs", "show"),
        says="Show everything known of one run: its result, its events, what it has used up.",
        wish=wishes.RunName,
        answers=("run_record",),
    ),
    Tool(
        name="runs_wait",
        command=("runs", "wait"),
        says="Wait until runs are over. The error `wait-timeout` means that they go on: ask again.",
        wish=wishes.RunsWait,
        answers=("runs", "error"),
        expected=("wait-timeout",),
    ),
    Tool(
        name="run",
        command=("run",),
        says="Let Codex do a piece of work that only reads." + _WORKS,
        wish=wishes.Run,
        answers=("run", "runs"),
        risk=Risk.ASKS,
        follows=True,
    ),
    Tool(
        name="resume",
        command=("resume",),
        says="Go on in the thread of a run or a session, only reading." + _WORKS,
        wish=wishes.Resume,
        answers=("run", "runs"),
        risk=Risk.ASKS,
        follows=True,
    ),
    Tool(
        name="review",
        command=("review",),
        says="Let Codex review changes; it can only read." + _WORKS,
        wish=wishes.Review,
        answers=("run", "runs"),
        risk=Risk.ASKS,
        follows=True,
    ),
    Tool(
        name="batch_check",
        command=("batch", "--dry-run"),
        says="Check a batch of runs and say in which order they would be done; nothing is started.",
        wish=wishes.BatchCheck,
        answers=("batch_order",),
    ),
    Tool(
        name="resources_list",
        command=("resources", "list"),
        says="List what is scarce (GPUs, ports, …) and who holds it.",
        wish=wishes.Nothing,
        answers=("resources",),
    ),
    Tool(
        name="resources_probe",
        command=("resources", "probe"),
        says="Look whether something scarce is free, now.",
        wish=wishes.Probe,
        answers=("resource_probe",),
    ),
    Tool(
        name="plan_list",
        command=("plan", "list"),
        says="List the ExecPlans of a repository, and how they stand.",
        wish=wishes.PlanList,
        answers=("plans",),
    ),
    Tool(
        name="plan_check",
        command=("plan", "check"),
        says="Hold ExecPlans to their rules: what is wrong, where, why, and how to mend it.",
        wish=wishes.PlanCheck,
        answers=("plan_check",),
    ),
    Tool(
        name="sleep_status",
        command=("sleep", "status"),
        says="Say what the last nights found, and which changes of skills wait to be adopted.",
        wish=wishes.Nothing,
        answers=("sleep_status",),
    ),
    Tool(
        name="audit_report",
        command=("audit", "report"),
        says="Say what happened in a recorded run: commands, files, tokens, cost, verdict.",
        wish=wishes.AuditReport,
        answers=("audit_report",),
    ),
    Tool(
        name="runs_report",
        command=("report",),
        says="Say what is proven of runs: commands that were really run, files, verdicts, and what was changed since.",
        wish=wishes_more.RunNames,
        answers=("report",),
    ),
    Tool(
        name="audit_verify",
        command=("audit", "verify"),
        says="Find whatever was changed since it was recorded: receipts, files, rows, events.",
        wish=wishes.Nothing,
        answers=("audit_verify",),
    ),
    Tool(
        name="validate",
        command=("validate",),
        says="Have another Codex judge a run's work by an acceptance text; its verdict rests on commands seen to run.",
        wish=wishes_more.Validate,
        answers=("validation",),
        risk=Risk.ASKS,
    ),
    Tool(
        name="consult",
        command=("consult",),
        says="Ask the author of a run's work, and a fresh reviewer, whether a finding holds.",
        wish=wishes_more.Consult,
        answers=("consultation",),
        risk=Risk.ASKS,
    ),
    Tool(
        name="memory_search",
        command=("memory", "search"),
        says="Find notes of earlier work by their words. They are data that may be out of date.",
        wish=wishes_more.MemorySearch,
        answers=("memory",),
    ),
    Tool(
        name="cache_get",
        command=("cache", "get"),
        says="Give back an analysis of exactly this repository state; the tool `inventory` is made when it is missing.",
        wish=wishes_more.CacheGet,
        answers=("cache", "error"),
        expected=("cache-miss",),
    ),
    Tool(
        name="workflow_list",
        command=("workflow", "list"),
        says="List workflows: who plans, who works, who looks at it.",
        wish=wishes.Nothing,
        answers=("workflows",),
    ),
    Tool(
        name="workflow_run",
        command=("workflow", "run"),
        says="Do a workflow that only reads, such as fan-out-join or evaluate-optimize.",
        wish=wishes_more.Workflow,
        answers=("workflow",),
        risk=Risk.ASKS,
    ),
    Tool(
        name="run_writing",
        command=("run",),
        says="Let Codex do a piece of work that changes files, in a checkout of its own unless `in_place`." + _WORKS,
        wish=wishes.RunWriting,
        answers=("run", "runs"),
        risk=Risk.CHANGES,
        follows=True,
    ),
    Tool(
        name="resume_writing",
        command=("resume",),
        says="Go on in the thread of a run or a session, changing files." + _WORKS,
        wish=wishes.ResumeWriting,
        answers=("run", "runs"),
        risk=Risk.CHANGES,
        follows=True,
    ),
    Tool(
        name="batch",
        command=("batch",),
        says="Do a batch of runs, each when those that it comes after have succeeded. Check it with `batch_check`.",
        wish=wishes.BatchCheck,
        answers=("batch",),
        risk=Risk.CHANGES,
        is_stream=True,
    ),
    Tool(
        name="runs_cancel",
        command=("runs", "cancel"),
        says="End a run and everything it started.",
        wish=wishes.RunName,
        answers=("runs",),
        risk=Risk.CHANGES,
    ),
    Tool(
        name="memory_add",
        command=("memory", "add"),
        says="Remember a note. Secrets and instructions to a model are refused.",
        wish=wishes_more.MemoryAdd,
        answers=("memory",),
        risk=Risk.CHANGES,
    ),
    Tool(
        name="memory_forget",
        command=("memory", "forget"),
        says="Delete a note for good.",
        wish=wishes_more.MemoryForget,
        answers=("memory",),
        risk=Risk.CHANGES,
    ),
    Tool(
        name="sleep_adopt",
        command=("sleep", "adopt"),
        says="Make a staged change of a skill live. It can be rolled back.",
        wish=wishes.Proposal,
        answers=("change",),
        risk=Risk.CHANGES,
    ),
    Tool(
        name="sleep_rollback",
        command=("sleep", "rollback"),
        says="Put back the exact bytes from before an adoption.",
        wish=wishes.Proposal,
        answers=("change",),
        risk=Risk.CHANGES,
    ),
)

TOOLS = {tool.name: tool for tool in _ALL}


def open_tools(allowed: Collection[str], *, is_nested: bool) -> dict[str, Tool]:
    """The tools that are offered; UsageError when something was allowed that there is not."""
    closed = [name for name, tool in TOOLS.items() if tool.risk is Risk.CHANGES]
    for name in allowed:
        if name not in closed:
            raise UsageError("tool-unknown", f"there is no tool {name!r} to be allowed", nearest(name, closed))
    if is_nested:
        return {name: tool for name, tool in TOOLS.items() if tool.risk is Risk.READS}
    return {name: tool for name, tool in TOOLS.items() if tool.risk is not Risk.CHANGES or name in allowed}
