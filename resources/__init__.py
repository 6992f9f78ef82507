"""Nouns: what exists outside a run. The database, the domain models, the external systems, Dagster's own storage."""
