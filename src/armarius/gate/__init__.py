"""May a candidate be adopted?

Owns the test (`decision`), who may see what it is tested on (`custody`), and who gets a round in a night (`rounds`).
Does not own replaying, scoring, keeping evidence or adopting: whoever calls the gate does that.
Invariant: no file, no clock, no chance; the same evidence gives the same decision.
"""
