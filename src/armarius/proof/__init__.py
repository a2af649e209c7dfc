"""Proof: what is kept of a run so that anybody can check it later.

Owns the form of a receipt, commands that have to succeed after an agent, the chain of hashes in the ledger, and
reaching files without being led astray. Does not own runs (dispatch/), nor checking and reporting (audit/).
Invariant: a receipt says what Armarius saw; whatever is changed in it or around it afterwards is found.

    required.py   the commands, resolved before the agent runs; what came of them
    trees.py      what a tree holds, as one hash
    receipt.py    the value and its one spelling
    chain.py      rows that follow one another, and the mark outside of the database
    contained.py  files below a root, opened name by name
"""
