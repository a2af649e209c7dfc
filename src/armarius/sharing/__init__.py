"""Runs side by side: which tree one works in, and what it holds while it lives.

Owns the rule that two writers never meet, checkouts of runs, and waiting for what a run needs. Does not
own leases and probes (`resources`) nor git (`checkout`).
Invariant: what a run is to hold is held before it is claimed and until its end is recorded.

    site.py       where to look for it, and how to wait
    holding.py    what a run holds while it lives: its tree, its scope, what it needs
    getting.py    getting it: looking at resources and sessions
    foreign.py    live sessions of others in a tree
    following.py  going on where somebody's session stopped
    checkouts.py  a run in a tree of its own, and taking in its work
    wish.py       what a wish says about all of these, checked
"""
