"""What happened in every Codex thread on this machine, and what each is doing now.

`folders` and `sync` bring what is new into the `index`, which `listing`, `search`, `stats` and `names` ask.
`observe` looks at everything besides the files, and `state` weighs it. `shown`, `transcript`, `brief`,
`follow` and `export` are ways to read one session; `health` says what takes room and what was left behind.
Invariant: the files are the truth and are never written; what is not known is said to be unknown.
"""
