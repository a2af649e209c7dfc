"""ExecPlans: plans that an agent follows for hours, and that anybody can take up again.

Owns the form of a plan, the rules it is held to, making and closing one, and what a fresh agent needs to
go on with it. Does not own the runs that are named in it, nor Codex's hooks.
Invariant: a plan is somebody's text. Only `new` and `close` write one, and both keep every byte that is there.
"""
