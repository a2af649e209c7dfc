"""Change becomes few, actionable signals.

Owns `armarius watch`: what of everything that happens is worth a person's attention, and saying it
once. Does not own reading session files (`rollouts`), what a thread is doing (`sessions`), or who
wrote the ledger. It answers nobody and writes nothing into a CODEX_HOME.
"""
