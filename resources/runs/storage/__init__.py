"""Dagster's storage in PostgreSQL, with a connection pool and events committed in groups."""
