"""The whole loop on real Codex and a scripted model, for a newcomer to see.

Owns the order of the demonstration and what is measured in it. Does not own any step: each is the
same code that works for a user. Nothing here knows the answer: the model obeys what it reads in the
skill, the reflector sees failing checks, and only scores of fresh runs are reported.
"""
