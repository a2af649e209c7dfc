"""What happened in every Codex thread on this machine, from its session files.

Owns finding threads, naming one, and the state of a thread with its evidence. Does not own the
format of the files (rollouts/).
Invariant: the files are the truth and are never written; what is not known is said to be unknown.
"""
