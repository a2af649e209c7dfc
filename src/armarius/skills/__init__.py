"""Skills: SKILL.md documents and what may be done to them.

Owns the document, bounded edits of its learned block, and the rule which file may be changed.
Does not own the decision to change one: that is the gate's, and a person's.
Invariant: the user's own bytes, everything outside the learned block, are never altered.
"""
