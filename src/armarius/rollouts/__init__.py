"""Session files of Codex, read as the values of `armarius.thread`.

`discovery` finds them, `opening` gives their bytes, `formats` says what a file is and reads any of them.
`reader` makes lines of bytes, `records` makes records of lines, `fold` makes a Thread of records. What Codex
has said in different ways over time stands in one file for each way, its shape beside its meaning:
`paginated` items, `legacy` events, `bare` lines, `calls` and their answers, `permissions`, `limits`; `parts`
is what they share, `generations` which of them a version wrote. `copies` tells what a fork took over,
`merging` makes one thread of several files. `streams` and `exec_old` read what `codex exec` printed, `claude`
what Claude Code wrote. Pure after open.
"""
