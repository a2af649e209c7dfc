"""What a run is: what was asked, what came of it, and its rows in the ledger.

Owns the values, the judgement of what an attempt left behind, and the rows of runs, attempts, the queue
and approvals. Does not own doing anything (`dispatch`).
Invariant: a request names everything the run may do; a result says only what Armarius observed; what the
ledger says of a run, it says once.

    request.py    what is asked, and what came of it
    answer.py     the answer against the caller's schema
    workspace.py  which files changed, seen by us
    family.py     the threads that a run consists of: its own and its sub-agents'
    passing.py    why an attempt was ended before its time
    limits.py     what limits a run besides its own budget
    settle.py     everything an attempt left behind -> its result (pure)
    records.py    runs, attempts and usage in the ledger
    queued.py     runs that wait: handed in, in line, claimed, cancelled
    approvals.py  what a run asked a person, and what it was told
"""
