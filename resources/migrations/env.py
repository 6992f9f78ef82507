"""What alembic runs for each command; `schema.py`, or `own_tables.py`, hands it the connection and what is compared."""

from alembic import context

from resources.database.tables import Table

given = {"target_metadata": Table.metadata, **context.config.attributes}
context.configure(**given)
with context.begin_transaction():
    context.run_migrations()
