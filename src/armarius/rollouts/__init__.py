"""Session files of Codex, read as the values of `armarius.thread`.

`discovery` finds them. `reader` makes lines of bytes, `records` makes records of lines, `fold` makes
a Thread of records. What Codex has said in different ways over time stands in one file for each way,
its shape beside its meaning: `paginated` items, `legacy` events, `calls` and their answers,
`permissions`; `parts` is what they share. Pure after open.
"""
