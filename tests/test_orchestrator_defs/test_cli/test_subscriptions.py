"""`orchestrator subscriptions`."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from orchestrator_defs.cli.application import operator
from orchestrator_defs.cli.subscriptions.commands import subscriptions
from orchestrator_defs.cli.subscriptions.in_sync import set_in_sync_command
from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue
from resources.database.session import SubscriptionDatabase
from resources.domain.saving.authorship import Author, authored_by
from tests.test_resources.test_domain.samples import block, model, product, registry_kept

Invoke = Callable[..., Result]
NODE_BLOCK = block("Node", {"node_name": (str, "new"), "password": (SecretStr, "hunter2"), "as": (int, 1)})
PORT_BLOCK = block("Port", {"port_name": (str, "new"), "node": (NODE_BLOCK | None, None)})
NODE, PORT = model("CliNode", {"node": NODE_BLOCK}), model("CliPort", {"port": PORT_BLOCK})
PRODUCTS = [product(NODE), product(PORT, name="Port", product_type="Port", tag="PORT")]
NODE_ID, PORT_ID = catalogue_id("product", "Node"), catalogue_id("product", "Port")


@pytest.fixture
def kept_registry() -> Iterator[None]:
    """The models registered by name, put back as they were."""
    with registry_kept():
        yield


@pytest.fixture
def invoke(database: SubscriptionDatabase, kept_registry: None) -> Invoke:
    """Runs the group on a database that has the catalogue."""
    code = Catalogue(PRODUCTS)
    with database.transaction():
        code.apply()

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(subscriptions, arguments, obj=SimpleNamespace(database=database, catalogue=code))

    return run


@pytest.fixture
def node(database: SubscriptionDatabase, invoke: Invoke) -> UUID:
    """A node that was made by one user and renamed by another."""
    with database.transaction(), authored_by(Author("anna")):
        made = NODE.from_product_id(NODE_ID, "acme", description="Node ams1")
        made.save()
    with database.transaction(), authored_by(Author("bert")):
        made.node.node_name = "ams1"  # type: ignore[attr-defined]
        made.save()
    return made.subscription_id


@pytest.fixture
def port(database: SubscriptionDatabase, node: UUID) -> UUID:
    """A port on the node."""
    with database.transaction():
        made = PORT.from_product_id(PORT_ID, "initech", description="Port ams1 eth0")
        made.port.node = NODE.from_subscription(node).node  # type: ignore[attr-defined]
        made.save()
    return made.subscription_id


def test_an_empty_list_says_so(invoke: Invoke) -> None:
    assert invoke().output == "There is no subscription yet.\n"


def test_the_list_is_a_row_per_subscription(invoke: Invoke, node: UUID, port: UUID) -> None:
    heading, *rows = invoke().output.splitlines()
    assert heading.split() == ["ID", "Product", "Description", "Status", "In", "sync", *heading.split()[6:]]
    assert [row[:8] for row in rows] == [str(port)[:8], str(node)[:8]]
    assert rows[1].split()[1:] == ["Node", "Node", "ams1", "initial", "no", "acme", "2"]


@pytest.mark.parametrize(
    "filters",
    [("--product", "Port"), ("--customer", "initech"), ("--search", "eth0 por"), ("--query", "port.port_name:new")],
)
def test_filters_leave_what_fits(invoke: Invoke, port: UUID, filters: tuple[str, ...]) -> None:
    assert [one["description"] for one in json.loads(invoke(*filters, "--json").output)] == ["Port ams1 eth0"]


def test_a_list_that_nothing_fits_says_so(invoke: Invoke, node: UUID) -> None:
    assert invoke("--status", "active").output == "There is no subscription that fits.\n"


def test_a_cut_list_says_how_many_there_are(invoke: Invoke, port: UUID) -> None:
    assert invoke("--limit", "1").output.endswith("1 of 2; --limit shows more.\n")


def test_an_unknown_product_is_a_sentence_with_a_hint(invoke: Invoke) -> None:
    result = invoke("--product", "Prot")
    assert result.exit_code == 1
    assert "There is no product 'Prot'; did you mean 'Port'?" in result.output


def test_show_has_every_value_of_the_tree(invoke: Invoke, node: UUID) -> None:
    output = invoke("show", str(node)[:6]).output
    assert "node_name: ams1" in output
    assert f"id: {node}" in output


def test_show_hides_secrets(invoke: Invoke, node: UUID) -> None:
    output = invoke("show", str(node)).output + invoke("show", str(node), "--json").output
    assert "password" in output
    assert "hunter2" not in output


def test_show_names_the_subscriptions_around(invoke: Invoke, node: UUID, port: UUID) -> None:
    assert f"node: → Node ams1 {str(node)[:8]}" in invoke("show", str(port)).output
    assert f"in use by: Port ams1 eth0 {str(port)[:8]}" in invoke("show", str(node)).output


def test_show_as_json_has_document_and_neighbours(invoke: Invoke, node: UUID, port: UUID) -> None:
    shown = json.loads(invoke("show", str(node), "--json").output)
    assert shown["node"]["node_name"] == "ams1"
    assert [one["subscription_id"] for one in shown["in_use_by"]] == [str(port)]


def test_history_says_who_changed_what(invoke: Invoke, node: UUID) -> None:
    lines = invoke("history", str(node)).output.splitlines()
    assert "version 2" in lines[1]
    assert "bert" in lines[1]
    assert "node.node_name: new → ams1" in lines[2]
    assert "anna" in lines[3]


def test_history_can_be_cut_and_still_knows_the_difference(invoke: Invoke, node: UUID) -> None:
    (newest,) = json.loads(invoke("history", str(node), "--limit", "1", "--json").output)
    assert newest["difference"] == [{"path": "node.node_name", "before": "new", "after": "ams1"}]


def test_what_nobody_is_called_is_a_sentence(invoke: Invoke) -> None:
    result = invoke("show", "ams1")
    assert result.exit_code == 1
    assert "There is no subscription 'ams1'" in result.output


@pytest.mark.parametrize("command", ["show", "history"])
@pytest.mark.parametrize("name", ["ams1", "Node ams1"])
def test_a_subscription_is_opened_by_what_it_is_called(invoke: Invoke, node: UUID, command: str, name: str) -> None:
    assert str(node) in invoke(command, name).output


def test_fields_stand_in_the_order_of_the_model(invoke: Invoke, node: UUID) -> None:
    output = invoke("show", str(node)).output
    assert output.index("node_name:") < output.index("password:") < output.index("as:")


def test_fields_of_an_unknown_product_are_shown_as_stored(database: SubscriptionDatabase, node: UUID) -> None:
    application = SimpleNamespace(database=database, catalogue=Catalogue([]))
    output = CliRunner().invoke(subscriptions, ["show", str(node)], obj=application).output
    assert output.index("as:") < output.index("password:") < output.index("node_name:")


def test_the_first_version_lists_what_was_set(invoke: Invoke, node: UUID) -> None:
    output = invoke("history", str(node)).output
    assert "node.node_name set: new" in output
    assert "product set: Node" in output


def test_list_is_the_list(invoke: Invoke, node: UUID, port: UUID) -> None:
    assert invoke("list").output == invoke().output
    assert len(json.loads(invoke("list", "--product", "Node", "--json").output)) == 1


def test_a_customer_that_all_have_is_said_once(invoke: Invoke, node: UUID) -> None:
    output = invoke().output
    assert "Customer" not in output.splitlines()[0]
    assert output.splitlines()[-1].strip() == "Customer of all: acme"


def test_a_column_that_is_empty_is_left_out(invoke: Invoke, node: UUID, port: UUID) -> None:
    assert "Locked by" not in invoke().output


def test_a_subscription_is_put_in_sync_and_the_history_names_who_did_it(
    database: SubscriptionDatabase, invoke: Invoke, node: UUID
) -> None:
    application = SimpleNamespace(database=database)
    arguments = ["Node ams1", "--reason", "It was [re]placed."]
    said = [CliRunner().invoke(set_in_sync_command, arguments, obj=application).output for _ in range(2)]
    assert said == ["Node ams1 is in sync.\n", "Node ams1 is in sync already.\n"]
    history = invoke("history", "Node ams1").output
    assert "version 3" in history
    assert f"{operator()}  set_in_sync, outside a process" in history
    assert "reason: It was [re]placed." in history
