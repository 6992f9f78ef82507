"""`orchestrator seed` fills the database with subscriptions as workflows would have left them."""

from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from orchestrator_defs.cli.seed import seed
from orchestrator_defs.products.sample import sample_network
from resources.database.session import current_session
from resources.database.tables import ProcessStepTable, ProcessTable
from resources.domain.bulk import insert_subscriptions
from resources.domain.subscription_model import SubscriptionModel
from resources.settings import settings
from resources.subscriptions.lists import count_subscriptions, find_subscriptions, list_subscriptions
from resources.types import SubscriptionLifecycle
from tests.test_products.conftest import Network

SIZE = 150


def sown(network: Network, *options: str, size: int = SIZE) -> Result:
    """Run the command on the network's database, with the sample of the shipped products."""
    network.orchestrator.sample = sample_network
    application = SimpleNamespace(orchestrator=network.orchestrator, database=network.database)
    result = CliRunner().invoke(seed, ["--subscriptions", str(size), *options], obj=application)
    assert result.exit_code == 0 or isinstance(result.exception, SystemExit), result.exception
    return result


def test_what_is_made_up_is_read_by_the_models_of_each_product(empty_network: Network) -> None:
    sown(empty_network)
    with empty_network.database.transaction(read_only=True):
        lines = list_subscriptions(limit=None)
        types = {line.product.product_type for line in lines}
        for line in lines:
            read = SubscriptionModel.from_subscription(line.subscription_id)
            assert read.description == line.description
    assert len(lines) == SIZE
    assert types == {"Node", "Port", "CoreLink", "L2VPN"}


def test_a_made_up_subscription_is_found_by_its_words(empty_network: Network) -> None:
    sown(empty_network)
    with empty_network.database.transaction(read_only=True):
        found = find_subscriptions("node_name:s0", [("productType", "Node")]).total
        nodes = count_subscriptions(product_type="Node")
    assert found == nodes


def test_each_made_up_process_has_the_ledger_of_its_workflow(empty_network: Network) -> None:
    sown(empty_network)
    with empty_network.database.transaction(read_only=True):
        processes = list(current_session().scalars(sa.select(ProcessTable)))
        lines = list(current_session().scalars(sa.select(ProcessStepTable).order_by(ProcessStepTable.position)))
    assert len(processes) > SIZE
    for process in processes:
        own = [line.step_key for line in lines if line.process_id == process.process_id]
        ended_well = process.last_status == "completed"
        assert own == process.step_keys[: len(process.step_keys) if ended_well else len(own)]


def test_a_second_network_stands_beside_the_first(empty_network: Network) -> None:
    sown(empty_network)
    sown(empty_network)
    with empty_network.database.transaction(read_only=True):
        lines = list_subscriptions(product_type="Node", limit=None)
        assert count_subscriptions() == 2 * SIZE
    assert len({line.description for line in lines}) == len(lines)


def test_a_database_of_ones_own_is_filled_only_when_somebody_says_yes(
    empty_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URI", "postgresql://core.example.org/network")
    settings.cache_clear()
    try:
        result = sown(empty_network)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert result.exit_code == 1
    assert "Write 150 made-up subscriptions into the database of DATABASE_URI?" in result.output


def test_definitions_that_make_nothing_up_say_so(empty_network: Network) -> None:
    own = SimpleNamespace(name="acme", sample=None)

    result = CliRunner().invoke(seed, obj=SimpleNamespace(orchestrator=own))

    assert result.exit_code == 1
    assert "The definitions of 'acme' make nothing up: give `build_definitions` a `sample`." in result.output


def test_many_at_once_leave_the_rows_that_saving_each_leaves(empty_network: Network) -> None:
    """Row by row the same, but for when and by whom they were written."""

    def rows() -> dict[str, list[str]]:
        without = "- 'created_at' - 'created_by'"
        tables = {
            "subscriptions": "subscription_id",
            "subscription_instances": "subscription_instance_id",
            "subscription_instance_relations": "in_use_by_id, attribute, position",
            "subscription_versions": "subscription_id",
        }
        read = "SELECT (to_jsonb(t) {})::text FROM {} t ORDER BY {}"
        return {
            table: list(current_session().scalars(sa.text(read.format(without, table, key))))
            for table, key in tables.items()
        }

    with empty_network.database.transaction() as session:
        made = list(sample_network(SIZE))
        for one in made:
            one.save()
        one_by_one = rows()
        session.rollback()
    with empty_network.database.transaction() as session:
        insert_subscriptions(made)
        at_once = rows()
        session.rollback()
    assert at_once == one_by_one
    assert {one.status for one in made} >= {SubscriptionLifecycle.ACTIVE, SubscriptionLifecycle.TERMINATED}
