"""Many runs from one file, each done once.

Owns the file, the order of its items, what a failure blocks, and what is known of a batch. Does not own
the runs (`dispatch`).
Invariant: nothing is started before the whole file was found good; a finished item is never repeated.

    file.py      the file as items, checked
    records.py   items and their runs in the ledger
    batch.py     doing them
    detached.py  a process of its own that does them, and watching it
"""
