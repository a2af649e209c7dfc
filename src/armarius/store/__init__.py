"""Databases: connections, migrations, named SQL, the ledger's event log.

Owns how a database is opened, kept whole and read. Does not own what the rows mean: a domain's
queries and its row types live with the domain.
Invariant: one transaction at a time writes to a ledger, on SQLite and on PostgreSQL alike, so code
that is right on one is right on the other.
"""
