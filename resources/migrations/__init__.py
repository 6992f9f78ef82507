"""The schema's history (alembic): run by `schema.py`, shipped in the package."""
