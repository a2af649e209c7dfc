"""A command in Codex's own sandbox, without Codex's agent.

Owns starting `codex sandbox` and telling a command that failed from a sandbox that did. Does not own
what the command is for.
Invariant: no network; nothing outside the folder and the temporary folders can be written; the
environment is what the caller gives. A command that could not be started is an error and no result.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from armarius.codex.binary import Binary
from armarius.errors import HostError
from armarius.programs import Finished, run
from armarius.thread import Sandbox

__all__ = ["run_sandboxed"]

_MARK = b"armarius: the sandbox stands\n"
_SHELL = ("/bin/sh", "-c", 'printf %s "$0"; exec "$@"', _MARK.decode())
_NOT_STARTED = frozenset({126, 127})


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

    `codex_home` is an empty one, so that no configuration of anybody's widens what may be done.
    """
    words = [binary.path, "sandbox", "-c", f'sandbox_mode="{sandbox.flag}"', "--", *_SHELL, *argv]
    done = run(
        words,
        cwd=cwd,
        environ={**environ, "CODEX_HOME": str(codex_home)},
        timeout=timeout,
        most=most,
    )
    if not done.stdout.startswith(_MARK):
        if done.code is None:
            raise HostError("sandbox", f"the sandbox did not stand within {timeout:g} s", "try again")
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise HostError("sandbox", f"the sandbox could not be set up: {said}", "see `armarius doctor`")
    if done.code in _NOT_STARTED and b"sh: " in done.stderr:
        raise HostError("program-start", f"cannot start {argv[0]!r} in the sandbox", "check its path")
    return Finished(done.code, done.stdout.removeprefix(_MARK), done.stderr)
