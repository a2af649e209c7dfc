"""A ledger on each driver: a file, and a real PostgreSQL server of this worker's own."""

from support.databases import idle_databases, ledger, new_database, new_place, place, postgres_server

__all__ = ["idle_databases", "ledger", "new_database", "new_place", "place", "postgres_server"]
