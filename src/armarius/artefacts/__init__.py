"""Analyses that need not be made twice: inventories, diff summaries, dependency graphs, whatever a tool found.

Owns their key, where they are kept, and the one analysis that is our own. Does not own what a tool finds.
Invariant: an analysis is given back for the very content and parameters that it was made for, or not at all; no
secret is kept; nothing is executed from here.

    state.py      what a working copy holds, as two hashes
    store.py      analyses by their key: put, get, list, prune
    inventory.py  what lies in a repository, in short (pure) and cached
"""
