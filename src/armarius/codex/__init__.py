"""The codex program: found, probed, started, guarded, and its words read.

Owns every start of a codex process in Armarius. Does not own what a run is for, nor session files.
Invariant: no codex process outlives its purpose: a guard ends it at its deadline, an app-server ends
with its input. None is started with an environment, sandbox or login that the caller did not name.

    binary.py   which codex, which version, what it can do
    home.py     which login, which provider, a private home
    config_file.py  a file of codex's configuration as a table
    dotenv.py   the variables that codex takes from its home by itself
    command.py  a typed request as argv, environment and prompt
    overrides.py  which keys and profiles a caller may add
    guard.py    the small program between us and codex that owns the deadline and the kill
    process.py  start a guard, wait for it, find it again after a crash, cancel it
    follow.py   what codex prints, line by line, while it runs
    events.py   what `codex exec --json` printed, as typed values
    protocol.py, connection.py, app_server.py   the same over `codex app-server`, whose process is ours
    hooks.py, hooks_file.py, trust.py, hook_program.py   what Codex reports by itself, and how it is told to
"""
