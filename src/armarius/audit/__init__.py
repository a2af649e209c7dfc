"""What an agent says is a claim; this is what Armarius saw.

Owns receipts, verdicts and their judges, consensus, reports, the record of streams, notes and rules of
policy. Does not own running anything (`dispatch`) nor plans.
Invariant: what is recorded is never changed, and a change from outside is found.
"""
