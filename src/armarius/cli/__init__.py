"""The command line: it translates, and decides nothing.

Owns words, flags, printing and exit codes; one file a command. Does not own what a command does.
Invariant: a command that is not called is not imported, so that `armarius --help` stays fast; every
failure ends in one line on standard error (one JSON object with `--json`) and its exit code.
"""

import io
import sys

import click

from armarius import __version__
from armarius.cli.group import LazyGroup
from armarius.cli.output import print_error
from armarius.errors import ArmariusError, DamagedFile, DataError, HostError, Interrupted, UsageError

__all__ = ["cli", "main"]

COMMANDS = {
    "run": "Do one piece of work with Codex and say what came of it.",
    "resume": "Go on in the thread of an earlier run, or in a session of your own.",
    "fork": "Begin a new thread with the history of an earlier one, which stays as it is.",
    "review": "Let Codex review changes; it can only read.",
    "validate": "Have work judged by another Codex, against an acceptance text.",
    "consult": "Ask the author of some work, or somebody fresh, whether a finding holds.",
    "batch": "Do many runs, each when those that it comes after have succeeded.",
    "goal": "Let Codex work, turn after turn, until a command of yours succeeds.",
    "exec": "Run a codex command line of your own with the login of a lane.",
    "runs": "What was run, and how it ended.",
    "report": "Say what is proven of runs, beside what you write about them.",
    "worker": "Do the runs that wait, on this host.",
    "schedule": "Runs that come by the clock.",
    "sessions": "What happened in every Codex session on this machine.",
    "watch": "Say what needs a person, and nothing else.",
    "proxy": "Record what Codex and its model say to each other.",
    "lanes": "Keep logins apart, and know what each may still do.",
    "audit": "The record of what agents did, which can be checked.",
    "policy": "Rules about commands: forbidden, asked about, or let out of the sandbox.",
    "plan": "Plans that an agent follows for hours, and that anybody can take up again.",
    "resources": "What is scarce, who has it, and using it alone.",
    "sleep": "Let skills get better overnight, behind a held-out gate.",
    "gate": "The held-out gate by itself: what it can detect, and recorded pairs decided.",
    "demo": "See the whole loop on real Codex, without an account.",
    "doctor": "Say what is missing and how to get it; change nothing.",
    "workflow": "Who plans, who works, who looks at it, and how often.",
    "template": "Workflows as files, to be read and changed.",
    "cache": "Analyses that need not be made twice.",
    "memory": "What is worth knowing next time.",
    "mcp": "Be a server for other agents (Model Context Protocol).",
    "install": "Put parts of Armarius into other programs.",
    "uninstall": "Take them out again.",
    "schema": "Print the JSON Schema of an answer or a file.",
}


@click.group(
    cls=LazyGroup,
    package="armarius.cli",
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="armarius", message="%(prog)s %(version)s")
def cli() -> None:
    """Run OpenAI Codex agents under watch, keep proof, and let skills get better.

    Exit codes: 0 done, 1 failed, 2 usage, 3 bad data, 4 environment, 5 refused by policy, 6 no
    answer, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal in Latin-1 has no arrow: show what it is
            stream.reconfigure(errors="backslashreplace")
    try:
        # click ends the program itself, quietly, when the reader of our output went away.
        return cli.main(words, prog_name="armarius", standalone_mode=False) or 0
    except ArmariusError as error:
        return print_error(error, as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True) if error.ctx else None
        return UsageError.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "armarius"
        usage = UsageError("usage", error.format_message().rstrip("."), f"see `{where} --help`")
        return print_error(usage, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return print_error(Interrupted("interrupted", "interrupted"), as_json=as_json)
    except OSError as error:
        return print_error(_lacking(error), as_json=as_json)
    except UnicodeEncodeError as error:
        shown = error.object[max(0, error.start - 40) : error.end]
        return print_error(DataError("not-utf8", f"{shown!a} is not UTF-8", "use a UTF-8 name"), as_json=as_json)


def _lacking(error: OSError) -> ArmariusError:
    """What the machine did not let us do, where no part knew better."""
    if isinstance(error, DamagedFile):
        return DataError("file-damaged", f"{error.filename}: {error.strerror}", "take it from a backup, or remove it")
    if isinstance(error, PermissionError):
        return HostError("permission", f"no permission: {error.filename or error}", "check its owner and mode")
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return HostError("folder-gone", "the current folder does not exist any more", "change to another one")
    where = f": {error.filename}" if error.filename else ""
    return HostError("file-system", f"{error.strerror or error}{where}", "check the path and what lies there")
