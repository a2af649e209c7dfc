"""Codex logins, kept apart.

`lanes` are the logins of this machine, `status` and `allowance` how much of each is left and which has
room, `billing` what would be billed and why.
Invariant: a plan is never billed as an API; no token of a login is kept here.
"""
