"""What a session file says in numbers, without reading most of it.

`summary` is the value. `scan` makes one of a rollout: `windows` finds the lines, `slim` decodes the little that
is needed of them, many at once, `tally` counts what they say in `entries`, `kept` looks late at the few lines
that were put aside, `totals` sums up, and `away` chooses what stays at hand for when the file has grown. `whole`
makes one of a thread that was read anyway.
Invariant: both ways come to the same numbers.
"""
