"""What alembic runs for each command; `schema.py` hands it the connection."""

from alembic import context

from resources.database.tables import Table

connection = context.config.attributes["connection"]
context.configure(connection, target_metadata=Table.metadata, version_table=context.config.attributes["version_table"])
with context.begin_transaction():
    context.run_migrations()
