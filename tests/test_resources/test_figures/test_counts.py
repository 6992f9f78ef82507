"""The counts are those of the tables, whatever is written, in whatever order, and cheap to write and to read."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from orchestrator_defs.sensors.sweeper import Sweeper
from orchestrator_defs.testing import Testbed
from resources.database import schema
from resources.database.session import StatementCount, SubscriptionDatabase, current_session
from resources.figures import counts, scrape
from resources.types import ProcessStatus, Target

PRODUCTS = {"Node": UUID(int=1), "Port": UUID(int=2)}
WORKFLOW = UUID(int=3)
STATUSES = ("active", "provisioning", "terminated")
INSERT = """
INSERT INTO subscriptions (subscription_id, product_id, customer_id, description, status, insync)
SELECT gen_random_uuid(), :product, 'c', 'd', :status, true FROM generate_series(1, :number)
"""
START = (
    "INSERT INTO processes (process_id, workflow_id, last_status, step_keys) VALUES (:id, :workflow, 'created', '[]')"
)


@pytest.fixture
def network(database: SubscriptionDatabase) -> SubscriptionDatabase:
    """Two products and a workflow."""
    with database.transaction():
        for name, product_id in PRODUCTS.items():
            run(
                "INSERT INTO products (product_id, name, description, product_type, tag, status)"
                " VALUES (:id, :name, '', 't', 't', 'active')",
                id=product_id,
                name=name,
            )
        run(
            "INSERT INTO workflows (workflow_id, name, target, description) VALUES (:id, 'create_node', 'CREATE', '')",
            id=WORKFLOW,
        )
    return database


def run(statement: str, **parameters: object) -> None:
    current_session().execute(sa.text(statement), parameters)


def start(status: str = "running") -> UUID:
    """A process that has gone through `created`."""
    process_id = uuid4()
    run(START, id=process_id, workflow=WORKFLOW)
    run("UPDATE processes SET last_status = :status WHERE process_id = :id", id=process_id, status=status)
    return process_id


def write(database: SubscriptionDatabase, seed: int) -> None:
    """Some transactions of all kinds, of which some are rolled back, and folds between them."""
    chance = random.Random(seed)
    for _ in range(25):
        with database.transaction() as session:
            product = chance.choice(list(PRODUCTS.values()))
            run(INSERT, product=product, status=chance.choice(STATUSES), number=chance.randrange(4))
            some = "(SELECT subscription_id FROM subscriptions ORDER BY random() LIMIT 2 FOR UPDATE SKIP LOCKED)"
            match chance.randrange(5):
                case 0:
                    run(
                        f"UPDATE subscriptions SET status = :s WHERE subscription_id IN {some}",
                        s=chance.choice(STATUSES),
                    )
                case 1:
                    run(f"UPDATE subscriptions SET insync = NOT insync WHERE subscription_id IN {some}")
                case 2:
                    run(f"DELETE FROM subscriptions WHERE subscription_id IN {some}")
                case 3:
                    run(f"UPDATE validations SET result = 'drifted' WHERE subscription_id IN {some}")
                case 4:
                    start(chance.choice(["running", "completed", "failed"]))
            if chance.random() < 0.2:
                session.rollback()
        if chance.random() < 0.3:
            with database.statements():
                counts.fold(least=1, most=20)


def counted_rows() -> tuple[object, ...]:
    """What a look at the tables themselves counts, as the functions give it."""
    rows = current_session().execute
    return (
        [
            counts.SubscriptionCount(*row)
            for row in rows(
                sa.text(
                    "SELECT name, s.status, insync, count(*) FROM subscriptions s JOIN products USING (product_id)"
                    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
                )
            )
        ],
        [
            counts.ValidationCount(*row)
            for row in rows(
                sa.text(
                    "SELECT name, result, count(*) FROM validations JOIN products USING (product_id)"
                    " WHERE due_at IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
                )
            )
        ],
        {
            (status, is_task): number
            for status, is_task, number in rows(
                sa.text("SELECT last_status, is_task, count(*) FROM processes GROUP BY 1, 2")
            )
        },
    )


def counted() -> tuple[object, ...]:
    return counts.subscription_counts(), counts.validation_counts(), counts.status_counts()


def test_counts_are_exact_whatever_is_written_at_once(network: SubscriptionDatabase) -> None:
    with ThreadPoolExecutor(4) as writers:
        done = [writers.submit(write, network, seed) for seed in range(4)]
        while not all(one.done() for one in done):  # each snapshot is exact, also during a fold
            with network.transaction(read_only=True) as session:
                session.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                assert counted() == counted_rows()
        for one in done:
            one.result()
    with network.transaction(read_only=True):
        assert counted() == counted_rows()


def test_counts_that_are_folded_are_the_same(network: SubscriptionDatabase) -> None:
    write(network, 7)
    with network.transaction():
        before = counted()
        counts.fold(least=1)
        assert counts.fold(least=1) == 0
        assert counted() == before == counted_rows()


def test_the_sweeper_folds(testbed_of: Callable[..., Testbed], monkeypatch: pytest.MonkeyPatch) -> None:
    bed = testbed_of([])
    monkeypatch.setattr(counts, "FOLD_AT_ONCE", 3)
    monkeypatch.setattr(counts.fold, "__kwdefaults__", {"least": 1, "most": 3})
    with bed.database.transaction() as session:
        session.execute(sa.text("INSERT INTO figures (kind, number) SELECT 'x', 1 FROM generate_series(1, 9)"))
    Sweeper(bed.orchestrator, bed.instance).sweep()
    with bed.database.transaction(read_only=True) as session:
        left = session.execute(sa.text("SELECT sum(number), count(*) FILTER (WHERE NOT is_sum) FROM figures")).one()
        assert tuple(left) == (9, 0)


def test_a_few_changes_are_not_worth_a_fold(network: SubscriptionDatabase) -> None:
    with network.transaction():
        start()
        assert counts.fold() == 0


def test_a_hundred_thousand_rows_at_once_are_one_change(network: SubscriptionDatabase) -> None:
    with network.transaction() as session:
        run(INSERT, product=PRODUCTS["Node"], status="active", number=3_000)
        assert session.scalar(sa.text("SELECT count(*) FROM figures")) == 2  # and one of the validations
        assert counts.subscription_counts() == [counts.SubscriptionCount("Node", "active", True, 3_000)]


def test_a_scrape_looks_at_no_whole_table(network: SubscriptionDatabase) -> None:
    with network.transaction() as session:
        run(INSERT, product=PRODUCTS["Node"], status="active", number=3_000)
        run("UPDATE validations SET finished_at = now(), result = 'passed'")
        run("ANALYZE validations")
        for statement in (scrape._FIGURES, scrape._MOMENT):
            plan = session.execute(sa.text(f"EXPLAIN {statement.text}"), {"ages": list(scrape.AGES)}).scalars()
            scanned = [line.strip() for line in plan if "Seq Scan on" in line]
            assert not [line for line in scanned if "validations" in line or "subscriptions" in line]


def test_a_step_of_a_process_changes_no_count(network: SubscriptionDatabase) -> None:
    with network.transaction() as session:
        process_id = start()
        before = session.scalar(sa.text("SELECT count(*) FROM figures"))
        run(
            "UPDATE processes SET last_step = 'x', last_modified_at = clock_timestamp() WHERE process_id = :i",
            i=process_id,
        )
        assert session.scalar(sa.text("SELECT count(*) FROM figures")) == before


def test_a_process_that_has_ended_adds_its_seconds(network: SubscriptionDatabase) -> None:
    with network.transaction():
        run(
            "UPDATE processes SET last_status = 'completed', last_modified_at = started_at + interval '90 s'"
            " WHERE process_id = :i",
            i=start(),
        )
        start("failed")
        assert counts.process_counts() == [
            counts.ProcessCount("create_node", Target.CREATE, False, ProcessStatus.COMPLETED, 1, 90.0),
            counts.ProcessCount("create_node", Target.CREATE, False, ProcessStatus.FAILED, 1, 0.0),
        ]


def test_what_is_there_before_the_upgrade_is_counted(own_database: SubscriptionDatabase) -> None:
    schema.downgrade(own_database, "0013")
    with own_database.transaction():
        run(
            "INSERT INTO products (product_id, name, description, product_type, tag, status)"
            " VALUES (:id, 'Node', '', 't', 't', 'active')",
            id=PRODUCTS["Node"],
        )
        run(INSERT, product=PRODUCTS["Node"], status="active", number=2)
    schema.upgrade(own_database)
    with own_database.transaction(read_only=True):
        assert counts.subscription_counts() == [counts.SubscriptionCount("Node", "active", True, 2)]
        assert counts.validation_counts() == [counts.ValidationCount("Node", None, 2)]


@pytest.mark.parametrize(
    "read", [counts.subscription_counts, counts.validation_counts, counts.process_counts, counts.status_counts]
)
def test_counts_are_read_in_one_statement(
    network: SubscriptionDatabase, statements: StatementCount, read: Callable[[], object]
) -> None:
    with network.statements():
        statements.clear()
        read()
    assert statements.count == 1
