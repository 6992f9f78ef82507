"""What alembic runs: our own tables only, with a version of their own."""

import os

import sqlalchemy as sa
from alembic import context
from customers import METADATA

engine = sa.create_engine(os.environ["DATABASE_URI"].replace("postgresql://", "postgresql+psycopg://", 1))
with engine.connect() as connection:
    context.configure(
        connection,
        target_metadata=METADATA,
        version_table="acme_version",
        include_name=lambda name, kind, _parents: kind != "table" or name in METADATA.tables,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
