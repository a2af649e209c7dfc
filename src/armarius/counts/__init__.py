"""What a session file says in numbers, without reading most of it.

`summary` is the value. `scan` makes one of a rollout: `windows` finds the lines that count, `slim` decodes
the little that is needed of them, `tally` counts, `kept` looks late at the few lines that were put aside,
`totals` sums up. `whole` makes one of a thread that was read anyway.
Invariant: both ways come to the same numbers.
"""
