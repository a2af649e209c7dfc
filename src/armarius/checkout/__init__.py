"""A tree of its own for each writer, and what it did as a private ref of the repository.

`prepare` makes one from a repository (`base` says of which commit, `submodules` what of those), `collect`
takes back what changed (`folder` reads it, `blobs` hands bytes to git), `merge` brings it in. `scopes` says
which paths a run may change, and which two would meet. `git` is the only one that starts it.
Invariant: nothing that an agent could have written is ever read by git as configuration.
"""
