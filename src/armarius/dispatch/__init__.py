"""Runs: pieces of work handed to codex, each done once and within its limits.

Owns claims, attempts, what a run may do and whether it did it. Does not own the codex process
(codex/) nor what a session file says (rollouts/).
Invariant: the claim is in the ledger before the spawn; a finished run is never repeated; a run
counts as done only when Codex itself closed the turn inside the sandbox that was asked for.

    request.py    what is asked, and what came of it
    workspace.py  which files changed, seen by us
    answer.py     the answer against the caller's schema
    settle.py     everything an attempt left behind -> its result (pure)
    records.py    runs, attempts and usage in the ledger
    keeper.py     what exists of a run, and recording its end; recovery after a crash
    runner.py     claim and start
    pool.py       several runs at a time
    workbench.py  all that runs need, from the user's settings
    desk.py       a wish, checked, as a request; and its run
    earlier.py    what goes on from an earlier thread, and whether it may
    api.py        the verbs for programs and for the command line
    interrupts.py  what Ctrl-C means while a run goes on
    afterwards.py  wait for runs that there are, end them, read what they print
"""
