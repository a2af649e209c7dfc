"""Runs: pieces of work handed to codex, each done once and within its limits.

Owns claims, attempts, what a run may do, and every way to hand one in. Does not own the codex process
(codex/), what a run is (runs/) nor what it holds meanwhile (sharing/).
Invariant: the claim is in the ledger before the spawn; a finished run is never repeated; a run
counts as done only when Codex itself closed the turn inside the sandbox that was asked for.

    keeper.py     what exists of a run, and recording its end; recovery after a crash
    runner.py     claim and start
    works.py      that work merged, kept or dropped
    standing.py   the budgets of a lane and a day, and the way to another lane
    meter.py      what a run uses up while it runs, and its end when that is too much
    carrying.py   from its start to its record, through what passes by itself
    goal.py       turn after turn until a command of the user's succeeds
    passthrough.py  the user's own codex command line, in a lane
    pool.py       several runs at a time
    workbench.py  all that runs need, from the user's settings
    options.py    how a run is to be done, with the types that are declared
    desk.py       a wish, checked, as a request; and its run
    earlier.py    what goes on from an earlier thread, and whether it may
    api.py        the verbs for programs and for the command line
    interrupts.py  what Ctrl-C means while a run goes on
    afterwards.py  wait for runs that there are, end them, read what they print
    detached.py   hand one in, and see that a worker lives
    worker.py     what a worker takes, and the reconciler of ledger and engine
    workers.py    which workers live
    porter.py     one run of the queue, from claim to record
    engine.py     DBOS, seen by nobody else
    schedules.py  runs that come by the clock; cron.py: when that is
"""
