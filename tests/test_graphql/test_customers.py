"""Customers of one's own: a table beside ours, with its migration."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from dagster import DagsterInstance

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.testing import Testbed
from resources.database import schema
from resources.database.embedded import EmbeddedServer
from resources.database.session import statement_counter
from resources.database.throwaway import fresh_database
from resources.errors import SettingsError
from resources.subscriptions.customers import DefaultCustomer, use_customers
from tests.api import application, calling
from tests.architecture import ROOT
from tests.engine import Engine
from tests.test_graphql.conftest import Asker
from tests.test_resources.test_domain.samples import registry_kept
from tests.toy_network import DEVICE

EXAMPLE = ROOT / "examples" / "customers"
LIST = """query($first: Int!) { subscriptions(first: $first, sortBy: {field: "customerId"}) {
  page { customer { customerId fullname shortcode } } } }"""


@pytest.fixture(scope="module")
def acme(server: EmbeddedServer) -> Iterator[Asker]:
    """Asks a server whose customers lie in the example's table."""
    with pytest.MonkeyPatch.context() as patch, registry_kept(), fresh_database(server) as database:
        patch.syspath_prepend(str(EXAMPLE))
        patch.setenv("DATABASE_URI", database.url.render_as_string(hide_password=False).replace("+psycopg", ""))
        command.upgrade(Config(EXAMPLE / "alembic.ini"), "head")
        from customers import CUSTOMERS, AcmeCustomers  # type: ignore[import-not-found]

        with DagsterInstance.ephemeral() as instance:
            orchestrator = Orchestrator([DEVICE], (), {"customers": AcmeCustomers()}, database)
            engine = Engine(Testbed(orchestrator, instance))
            orchestrator.prepare()
            with database.transaction() as session:
                rows = [{"customer_id": f"c{n}", "fullname": f"Customer {n}", "shortcode": f"C{n}"} for n in range(3)]
                session.execute(sa.insert(CUSTOMERS), rows)
            for number in range(4):
                engine.bed.add("Test Device", customer_id=f"c{number}", device={"hostname": f"h{number}"})
            with calling(application(engine), path="/api") as client:
                yield Asker(client, engine)
        use_customers(DefaultCustomer())
        sys.modules.pop("customers", None)


def named(number: int) -> dict[str, str]:
    """A customer of the table."""
    return {"customerId": f"c{number}", "fullname": f"Customer {number}", "shortcode": f"C{number}"}


def test_subscriptions_name_the_customers_of_the_table(acme: Asker) -> None:
    unknown = {"customerId": "c3", "fullname": "c3", "shortcode": "c3"}
    found = acme.data(LIST, first=10)["subscriptions"]["page"]
    assert [one["customer"] for one in found] == [named(0), named(1), named(2), unknown]


def test_a_page_asks_once_for_all_of_its_customers(acme: Asker) -> None:
    assert [len(acme.statements(LIST, first=first)) for first in (1, 4)] == [2, 2]
    with statement_counter(acme.engine.database.engine) as counted:
        listed: list[Any] = acme.client.get("/subscriptions/").json()
    assert {one["customer"]["fullname"] for one in listed} == {"Customer 0", "Customer 1", "Customer 2", "c3"}
    assert sum("acme_customers" in one for one in counted.statements) == 1


def test_customers_are_listed_and_found(acme: Asker) -> None:
    query = "query($by: [GraphqlFilter!], $q: String) { customers(filterBy: $by, query: $q) { page { fullname } } }"
    assert len(acme.data(query)["customers"]["page"]) == 3
    assert acme.data(query, by=[{"field": "customerId", "value": "c1|c9"}])["customers"]["page"] == [
        {"fullname": "Customer 1"}
    ]
    assert acme.data(query, q="customer 2")["customers"]["page"] == [{"fullname": "Customer 2"}]
    assert acme.error(query, by=[{"field": "colour", "value": "red"}])[0] == "bad_request"


def test_the_schema_check_leaves_the_table_alone(acme: Asker) -> None:
    assert schema.check(acme.engine.database) == []


def test_a_resource_that_knows_no_customers_is_refused_with_a_sentence() -> None:
    with pytest.raises(SettingsError, match="says who the customers are: object has no `named`"):
        Orchestrator([], (), {"customers": object()}, None)


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [("customerFullname", "customer 1", ["c1"]), ("customerShortcode", "C1|C2", ["c1", "c2"])],
)
def test_lists_are_filtered_by_the_names_of_customers(acme: Asker, field: str, value: str, found: list[str]) -> None:
    query = f'{{ subscriptions(filterBy: {{field: "{field}", value: "{value}"}}) {{ page {{ customerId }} }} }}'
    assert sorted(one["customerId"] for one in acme.data(query)["subscriptions"]["page"]) == found
    query = query.replace("subscriptions", "processes").replace("customerId", "processId")
    assert acme.data(query)["processes"]["page"] == []


def test_names_of_customers_are_searched_by_field(acme: Asker) -> None:
    query = '{ subscriptions(query: "customer_fullname:cust customer_shortcode:c2") { page { customerId } } }'
    assert [one["customerId"] for one in acme.data(query)["subscriptions"]["page"]] == ["c2"]
