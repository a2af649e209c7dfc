"""A command in Codex's own sandbox, without Codex's agent.

Owns starting `codex sandbox` and telling a command that failed from a sandbox that did. Does not own
what the command is for.
Invariant: no network; nothing outside the folder and a temporary one of its own can be written; the
environment is what the caller gives. A command that could not be started is an error and no result.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from armarius.clock import SystemClock
from armarius.codex.binary import Binary
from armarius.errors import HostError
from armarius.files import private_folder
from armarius.identity import new_id
from armarius.programs import Finished, run
from armarius.thread import Sandbox

__all__ = ["NOT_STARTED", "run_sandboxed"]

_SHELL = ("/bin/sh", "-c", 'printf %s "$0"; exec "$@"')
_CODES = frozenset({126, 127})

NOT_STARTED = "program-start"
"""The code of the error when the sandbox stood and the program in it could not be started."""


def run_sandboxed(
    binary: Binary,
    argv: Sequence[str],
    *,
    cwd: Path,
    codex_home: Path,
    environ: Mapping[str, str],
    timeout: float,
    sandbox: Sandbox = Sandbox.WORKSPACE_WRITE,
    most: int = 1 << 20,
) -> Finished:
    """Run `argv` in `cwd` to its end; HostError when the sandbox or the program could not be started.

    `codex_home` is an empty one, so that no configuration of anybody's widens what may be done. Besides `cwd`,
    the command may write in a temporary folder beside it.
    """
    scratch = private_folder(codex_home.parent / "tmp")
    # What runs may have been written by an agent; it cannot know the mark, and so not pass for the sandbox.
    mark = f"{new_id('mark', SystemClock())}\n"
    settings = {
        "sandbox_mode": sandbox.flag,
        "sandbox_workspace_write.exclude_slash_tmp": True,
        "sandbox_workspace_write.exclude_tmpdir_env_var": True,
        "sandbox_workspace_write.network_access": False,
        "sandbox_workspace_write.writable_roots": [str(scratch)],
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={json.dumps(value)}")]
    done = run(
        [binary.path, "sandbox", *options, "--", *_SHELL, mark, *argv],
        cwd=cwd,
        environ={**environ, "CODEX_HOME": str(codex_home), "TMPDIR": str(scratch)},
        timeout=timeout,
        most=most,
    )
    if not done.stdout.startswith(mark.encode()):
        if done.code is None:
            raise HostError("sandbox", f"the sandbox did not stand within {timeout:g} s", "try again")
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise HostError("sandbox", f"the sandbox could not be set up: {said}", "see `armarius doctor`")
    if done.code in _CODES and mark.strip().encode() in done.stderr:
        raise HostError(NOT_STARTED, f"cannot start {argv[0]!r} in the sandbox", "check its path")
    return Finished(done.code, done.stdout.removeprefix(mark.encode()), done.stderr)
