"""What is scarce, and who may use it.

`needs` reads what is asked for, `catalogue` knows what there is, `probes` look (`process_patterns` at
processes, `foreign_sessions` at what others hold), `kinds` decide what a reading means, `leases` give the
right to use it, `obtaining` waits for both, `report` shows them.
Invariant: no unit has two holders, and whoever comes late is fenced.
"""
