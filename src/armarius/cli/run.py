"""`armarius run`: one worker run on real Codex."""

import os
import sys
from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.workbench import workbench
from armarius.dispatch.answer import read_schema
from armarius.dispatch.keeper import Begun
from armarius.dispatch.pool import undisturbed
from armarius.dispatch.request import RunRequest, RunResult
from armarius.dispatch.runner import Runner
from armarius.errors import DataError, Refused, UsageError
from armarius.thread import Sandbox

MODES = [mode.flag for mode in Sandbox]


@click.command()
@click.argument("prompt")
@click.option("-C", "--cd", "folder", type=click.Path(path_type=Path), help="Work in this folder.")
@click.option(
    "--sandbox",
    type=click.Choice(MODES),
    default="read-only",
    show_default=True,
    help="What commands may do.",
)
@click.option("--model", help="The model; default: what your Codex is set to.")
@click.option("--effort", help="Reasoning effort, e.g. low, medium, high.")
@click.option("--schema", "schema_file", type=click.Path(path_type=Path), help="JSON Schema the answer must fit.")
@click.option("--timeout", type=float, help="Seconds until the run is ended.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    *,
    prompt: str,
    folder: Path | None,
    sandbox: str,
    model: str | None,
    effort: str | None,
    schema_file: Path | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Do one piece of work with Codex and say what came of it.

    PROMPT is the instruction; `-` reads it from standard input. The answer goes to standard output.
    The exit code is 0 only when Codex completed the turn within the sandbox that was asked for.
    """
    text = _read_prompt(prompt)
    folder = _folder(folder)
    settings = configuration.load(folder)
    if sandbox == Sandbox.DANGER_FULL_ACCESS.flag:
        raise Refused(
            "sandbox-danger",
            "danger-full-access needs a recorded authorisation, which this version cannot record",
            "use workspace-write",
        )
    deadline = settings.timeout if timeout is None else timeout
    if not 0 < deadline <= settings.timeout:
        raise UsageError("timeout", f"--timeout {deadline:g} is not within 0 and {settings.timeout:g} seconds")
    schema = read_schema(schema_file) if schema_file else None
    with workbench(settings) as bench:
        request = RunRequest(
            role="worker",
            prompt=text,
            cwd=str(folder),
            sandbox=sandbox,
            home=str(settings.user_home),
            codex_home=str(settings.codex_home),
            tools_path=settings.search_path,
            deadline_s=deadline,
            model=model or settings.model,
            effort=effort or settings.effort,
            schema=schema,
            environ=bench.keys,
        )
        result = _run(bench.runner, request)
    return _report(result, as_json=as_json)


def _run(runner: Runner, request: RunRequest) -> RunResult:
    """Wait for the run; an interrupt ends it well and is recorded, however often it comes."""
    begun: Begun | None = None
    while True:
        try:
            if begun is None:
                with undisturbed():
                    begun = runner.begin(request)
            return runner.finish(begun, begun.attempt.wait())
        except KeyboardInterrupt:
            if begun is None:
                raise
            begun.attempt.cancel()


def _report(result: RunResult, *, as_json: bool) -> int:
    problem = result.problem
    if as_json:
        print_json(result)
    else:
        if result.answer is not None:
            say(result.answer)
        say(_summary(result), err=True)
        if problem is not None:
            say(f"armarius: {problem.message}" + (f"; {problem.hint}" if problem.hint else ""), err=True)
    return 0 if problem is None else problem.exit_code


def _summary(result: RunResult) -> str:
    usage = result.usage
    seconds = (result.duration_us or 0) / 1_000_000
    parts = [
        f"{result.id} {result.state} in {seconds:.1f} s",
        f"{usage.input:,} tokens in ({usage.cached_input:,} cached), {usage.output:,} out",
        "1 command" if result.commands == 1 else f"{result.commands} commands",
    ]
    if result.files_changed:
        parts.append("changed " + ", ".join(result.files_changed))
    return " · ".join(parts)


def _read_prompt(prompt: str) -> str:
    where, data = ("standard input", sys.stdin.buffer.read()) if prompt == "-" else ("PROMPT", os.fsencode(prompt))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            "prompt-encoding", f"{where}: byte {error.start} is not UTF-8", "write the prompt in UTF-8"
        ) from error
    if not text.strip():
        raise UsageError("prompt-empty", "the prompt is empty", "say what is to be done")
    return text


def _folder(folder: Path | None) -> Path:
    path = Path(os.getcwd()) if folder is None else folder.absolute()  # noqa: PTH109  # keeps the name of a link
    if not path.is_dir():
        raise DataError("folder-missing", f"no folder at {path}", "name an existing one with -C")
    return path
