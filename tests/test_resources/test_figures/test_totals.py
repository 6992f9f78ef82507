"""The length of a list, from kept counts, is the number of its rows; what is not counted is said so."""

from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from resources.database.session import SubscriptionDatabase, current_session
from resources.database.tables import ProcessTable, SubscriptionTable
from resources.figures import totals
from resources.processes.process_fields import PROCESS_FIELDS
from resources.subscriptions.list_fields import FieldText
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS

PRODUCT, WORKFLOW = UUID(int=1), UUID(int=3)


@pytest.fixture
def rows(database: SubscriptionDatabase) -> SubscriptionDatabase:
    """Subscriptions and processes in several statuses."""
    statements = (
        (
            "INSERT INTO products (product_id, name, description, product_type, tag, status)"
            f" VALUES ('{PRODUCT}', 'Node', '', 't', 'N', 'active'), ('{uuid4()}', 'Port', '', 't', 'P', 'active')"
        ),
        (
            "INSERT INTO subscriptions (subscription_id, product_id, customer_id, description, status, insync)"
            " SELECT gen_random_uuid(), product_id, 'c', 'd', (ARRAY['active', 'terminated'])[1 + n % 2], n % 3 > 0"
            " FROM products, generate_series(1, 12) AS n"
        ),
        (
            "INSERT INTO workflows (workflow_id, name, target, description)"
            f" VALUES ('{WORKFLOW}', 'create_node', 'CREATE', '')"
        ),
        (
            "INSERT INTO processes (process_id, workflow_id, last_status, is_task, step_keys)"
            f" SELECT gen_random_uuid(), '{WORKFLOW}', (ARRAY['failed', 'completed'])[1 + n % 2], n % 3 > 0, '[]'"
            " FROM generate_series(1, 12) AS n"
        ),
    )
    with database.transaction() as session:
        for statement in statements:
            session.execute(sa.text(statement))
    return database


@pytest.mark.parametrize(
    "filters",
    [
        [],
        [("status", "active")],
        [("status", "!active")],
        [("insync", "false"), ("status", "active|terminated")],
        [("productTag", "N"), ("status", "terminated")],
        [("product", "node"), ("insync", "true")],
        [("productId", str(PRODUCT)[:8])],
    ],
)
def test_total_of_subscriptions_is_their_number(rows: SubscriptionDatabase, filters: list[FieldText]) -> None:
    with rows.transaction():
        where = SUBSCRIPTION_FIELDS.conditions(filters)
        counted = current_session().scalar(sa.select(sa.func.count()).select_from(SubscriptionTable).where(*where))
        assert totals.total(totals.SUBSCRIPTIONS, where) == counted


@pytest.mark.parametrize(
    "filters",
    [[], [("isTask", "true")], [("isTask", "false"), ("lastStatus", "failed")], [("workflowName", "create*")]],
)
def test_total_of_processes_is_their_number(rows: SubscriptionDatabase, filters: list[FieldText]) -> None:
    with rows.transaction():
        where = PROCESS_FIELDS.conditions(filters)
        counted = current_session().scalar(sa.select(sa.func.count()).select_from(ProcessTable).where(*where))
        assert totals.total(totals.PROCESSES, where) == counted


def test_nothing_is_said_of_what_is_not_counted(rows: SubscriptionDatabase) -> None:
    with rows.transaction():
        for filters in ([("note", "x")], [("status", "active"), ("startDate", ">2024")]):
            assert totals.total(totals.SUBSCRIPTIONS, SUBSCRIPTION_FIELDS.conditions(filters)) is None
        assert totals.total(totals.PROCESSES, PROCESS_FIELDS.conditions([("customerId", "c")])) is None
