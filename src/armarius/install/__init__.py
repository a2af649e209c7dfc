"""What Armarius puts into other programs, and takes out again.

Owns provisioning Codex's hooks. Does not own what the hooks report (`codex/hooks.py`).
Invariant: what is changed is kept first, shown, and undone to the byte.
"""
