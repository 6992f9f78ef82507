"""The lab's tables, in the schema `lab` of the orchestrator's database, which the lab creates and fills itself."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from resources.database.session import SubscriptionDatabase
from resources.lab.seed import seed_objects

SCHEMA = "lab"
LOCK_NAME = "lab schema"

metadata = sa.MetaData(schema=SCHEMA)
_now = sa.func.clock_timestamp()

objects = sa.Table(
    "objects",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, comment="path under /api/, as dcim/devices"),
    sa.Column("data", JSONB, nullable=False, comment="fields by name; other objects by id"),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False, server_default=_now),
    sa.Column("last_updated", sa.DateTime(timezone=True), nullable=False, server_default=_now),
    sa.Index("objects_kind", "kind", "id"),
    sa.Index("objects_data", "data", postgresql_using="gin", postgresql_ops={"data": "jsonb_path_ops"}),
)

devices = sa.Table(
    "devices",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("config", JSONB, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True, server_default=sa.func.gen_random_uuid()),
    sa.Column("playbook", sa.Text, nullable=False),
    sa.Column("check", sa.Boolean, nullable=False),
    sa.Column("extra_vars", JSONB, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("callback_url", sa.Text),
    sa.Column("status", sa.Text, nullable=False, server_default="pending"),
    sa.Column("changed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("differences", JSONB, nullable=False, server_default="[]"),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Column("started", sa.DateTime(timezone=True), nullable=False, server_default=_now),
    sa.Column("finished", sa.DateTime(timezone=True)),
    sa.Index("jobs_idempotency_key", "idempotency_key"),
)

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=_now),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", JSONB),
)

rules = sa.Table(
    "rules",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("effect", sa.Text, nullable=False, comment="slow or fail"),
    sa.Column(
        "pattern", sa.Text, nullable=False, comment="part of `METHOD /path` or `job PLAYBOOK`; * and ? are wildcards"
    ),
    sa.Column("seconds", sa.Double, nullable=False, server_default="0"),
    sa.Column("status", sa.Integer, nullable=False, server_default="503"),
    sa.Column("times", sa.Integer, comment="how often it still applies; always when null"),
)


def install(database: SubscriptionDatabase) -> None:
    """Create the schema and its first contents if they are missing; may run twice, also at the same time. Commits."""
    with database.advisory_lock(LOCK_NAME), database.engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        metadata.create_all(connection)
        if connection.scalar(sa.select(sa.exists().select_from(objects))):
            return
        fill(connection)


def reset(database: SubscriptionDatabase) -> None:
    """Delete everything and insert the first contents. Commits."""
    install(database)
    with database.engine.begin() as connection:
        names = ", ".join(f"{SCHEMA}.{table.name}" for table in metadata.sorted_tables)
        connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY"))
        fill(connection)


def fill(connection: sa.Connection) -> None:
    """Insert the first contents, with the ids that the identity column would give."""
    rows = seed_objects()
    connection.execute(sa.insert(objects), rows)
    sequence = sa.func.pg_get_serial_sequence(f"{SCHEMA}.objects", "id")
    connection.execute(sa.select(sa.func.setval(sequence, len(rows))))
