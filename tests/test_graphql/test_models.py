"""Typed models: blocks, unions, enums, computed fields, secrets, and blocks that do not fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from annotated_types import Ge, Le, Len
from dagster import DagsterInstance
from graphql import GraphQLEnumType, GraphQLInt, GraphQLObjectType, GraphQLUnionType, get_named_type
from pydantic import Field, SecretStr, computed_field

from orchestrator_defs.api.graphql.service import make_executor
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.jobs.type_names import RESERVED, type_names
from orchestrator_defs.testing import Testbed
from resources.catalogue.catalogue import Product
from resources.database.embedded import EmbeddedServer
from resources.database.tables import SubscriptionInstanceTable
from resources.database.throwaway import fresh_database
from resources.domain.blocks import ProductBlockModel
from resources.domain.models.vlans import VlanRanges
from resources.domain.subscription_model import SubscriptionModel
from resources.types import SubscriptionLifecycle
from tests.api import application, calling
from tests.engine import Engine
from tests.test_graphql.conftest import Asker, Network
from tests.test_resources.test_domain.samples import registry_kept

ACTIVE = SubscriptionLifecycle.ACTIVE


class Colour(StrEnum):
    """Words."""

    DARK_RED = "dark red"
    BLUE = "blue"


class Level(IntEnum):
    """Numbers."""

    LOW = 1
    HIGH = 2


class Odd(Enum):
    """Values that GraphQL cannot name."""

    true = "yes"


class LeafBlock(ProductBlockModel, product_block_name="Graph Leaf"):
    """One of two kinds."""

    leaf_name: str | None = None
    password: SecretStr | None = None
    shelf: int = 3


class TwigBlock(ProductBlockModel, product_block_name="Graph Twig"):
    """The other kind."""

    twig_name: str | None = None


class TreeBlockInactive(ProductBlockModel, product_block_name="Graph Tree"):
    """A block with values of all types."""

    colour: Colour | None = None
    levels: list[Level] = Field(default_factory=list)
    odd: Odd | None = None
    big: int | None = None
    small: Annotated[int, Ge(0), Le(4094)] | None = None
    prefix: IPv4Network | None = None
    vlans: VlanRanges | None = None
    anything: dict[str, Any] | None = None
    either: int | str | None = None
    one: LeafBlock | TwigBlock | None = None
    many: Annotated[list[LeafBlock | TwigBlock], Len(0, 10)] = Field(default_factory=list)


class TreeBlock(TreeBlockInactive, lifecycle=[ACTIVE]):
    """A tree that lives."""

    big: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """It fails for one value."""
        return f"{10 // (self.big - 13)} tall"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shade(self) -> Colour | None:
        """A computed enum."""
        return self.colour


class TreeInactive(SubscriptionModel, is_base=True):
    """A subscription to a tree."""

    tree: TreeBlockInactive


class Tree(TreeInactive, lifecycle=[ACTIVE]):
    """One that lives."""

    tree: TreeBlock


TREE = Product("Graph Tree", "TREE", Tree, "Tree", "a tree")


@pytest.fixture(scope="module")
def trees(server: EmbeddedServer) -> Iterator[Asker]:
    """Asks about trees."""
    with registry_kept(), fresh_database(server) as database, DagsterInstance.ephemeral() as instance:
        made = Engine(Testbed(Orchestrator([TREE], (), None, database), instance))
        made.orchestrator.prepare()
        with calling(application(made), path="/api") as client:
            yield Asker(client, made)


def plant(trees: Asker, **values: Any) -> UUID:
    """Add a tree."""
    found: UUID = trees.engine.bed.add("Graph Tree", tree={"big": 2**40, **values}).subscription_id
    return found


def leaf(owner: UUID, **values: Any) -> LeafBlock:
    """A leaf of a subscription."""
    return LeafBlock.new(owner, **values)


def seen(trees: Asker, subscription_id: UUID, what: str) -> Any:
    """A tree in GraphQL, with the errors."""
    query = """query($id: String!) { subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page {
      description ... on TreeSubscription { tree { %s } } } } }"""
    answer = trees(query.replace("%s", what), id=str(subscription_id))
    (found,) = answer["data"]["subscriptions"]["page"]
    return found["tree"], answer.get("errors", [])


def kinds(trees: Asker) -> dict[str, Any]:
    """The types of the schema."""
    executor = make_executor(Served([trees.engine.orchestrator]), ApiSettings(oauth2_active=False))
    return dict(executor.schema.type_map)


def test_types_are_made_from_annotations(trees: Asker) -> None:
    found = kinds(trees)
    block = found["TreeBlock"]
    assert isinstance(block, GraphQLObjectType)
    assert {name: str(one.type) for name, one in block.fields.items()} == {
        "subscriptionInstanceId": "UUID!",
        "ownerSubscriptionId": "UUID!",
        "name": "String!",
        "label": "String",
        "colour": "Colour",
        "levels": "[Level]",
        "odd": "JSON",
        "big": "BigInt",
        "small": "Int",
        "prefix": "IPv4Network",
        "vlans": "VlanRangesType",
        "anything": "JSON",
        "either": "JSON",
        "one": "LeafBlockOrTwigBlock",
        "many": "[LeafBlockOrTwigBlock!]",
        "title": "String",
        "shade": "Colour",
    }
    assert isinstance(found["Colour"], GraphQLEnumType)
    assert isinstance(get_named_type(block.fields["one"].type), GraphQLUnionType)
    assert get_named_type(block.fields["small"].type) is GraphQLInt
    assert [one.name for one in found["TreeSubscription"].interfaces] == ["SubscriptionInterface"]


def test_values_have_their_types(trees: Asker) -> None:
    values = {"colour": "dark red", "levels": [1, 2], "odd": "yes", "small": 7, "prefix": "10.0.0.0/24"}
    made = plant(trees, **values, vlans="2-5,9", anything={"a": [1]}, either="x")
    found, errors = seen(
        trees, made, "colour shade levels odd big small prefix vlans anything either name subscriptionInstanceId title"
    )
    assert errors == []
    assert found.pop("subscriptionInstanceId")
    assert found == {
        "colour": "DARK_RED",
        "shade": "DARK_RED",
        "levels": ["LOW", "HIGH"],
        "odd": "yes",
        "big": 2**40,
        "small": 7,
        "prefix": "10.0.0.0/24",
        "vlans": "2-5,9",
        "anything": {"a": [1]},
        "either": "x",
        "name": "Graph Tree",
        "title": "0 tall",
    }


@contextmanager
def stored(trees: Asker, block: str, **values: Any) -> Iterator[None]:
    """Values in the rows of a block that the code no longer expects."""
    table = SubscriptionInstanceTable
    with trees.engine.database.transaction() as session:
        changed = table.values.op("||")(sa.cast(sa.literal(values, sa.JSON), table.values.type))
        session.execute(sa.update(table).where(table.product_block == block).values(values=changed))
    yield


def grow(trees: Asker) -> UUID:
    """A tree with blocks of two kinds in one field."""
    with trees.engine.database.transaction():
        tree: Any = SubscriptionModel.from_subscription(plant(trees))
        owner = tree.subscription_id
        tree.tree.many = [leaf(owner, leaf_name="a", password="s3cret-word"), TwigBlock.new(owner, twig_name="b")]
        tree.tree.one = leaf(owner, leaf_name="c")
        tree.save()
    return owner  # type: ignore[no-any-return]


UNION = "{ __typename ... on LeafBlock { leafName password shelf } ... on TwigBlock { twigName } }"


def test_unions_and_lists_of_blocks(trees: Asker) -> None:
    found, errors = seen(trees, grow(trees), f"one {UNION} many {UNION}")
    assert errors == []
    assert found["one"] == {"__typename": "LeafBlock", "leafName": "c", "password": None, "shelf": 3}
    assert [one["__typename"] for one in found["many"]] == ["LeafBlock", "TwigBlock"]


def test_secrets_are_masked_typed_and_flat(trees: Asker) -> None:
    made = grow(trees)
    query = """query($id: String!) { subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page {
      productBlockInstances { productBlockInstanceValues }
      ... on TreeSubscription { tree { many { ... on LeafBlock { password } } } } } } }"""
    answer = trees.client.post("/graphql", json={"query": query, "variables": {"id": str(made)}})
    assert "s3cret-word" not in answer.text
    (found,) = answer.json()["data"]["subscriptions"]["page"]
    assert found["tree"]["many"][0] == {"password": "**********"}
    values = [one["productBlockInstanceValues"] for one in found["productBlockInstances"]]
    shown = [one["value"] for each in values for one in each if one["field"] == "password"]
    assert sorted(map(str, shown)) == ["**********", "None"]


def test_a_missing_value_is_its_default_and_an_unknown_one_is_left_out(trees: Asker) -> None:
    made = grow(trees)
    with stored(trees, "Graph Leaf", gone="from the code"):
        table = SubscriptionInstanceTable
        with trees.engine.database.transaction() as session:
            session.execute(
                sa.update(table).where(table.product_block == "Graph Leaf").values(values=table.values.op("-")("shelf"))
            )
        found, errors = seen(trees, made, f"one {UNION}")
    assert (found["one"]["shelf"], errors) == (3, [])
    query = """query($id: String!) { subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page {
      productBlockInstances { productBlockInstanceValues } } } }"""
    (page,) = trees.data(query, id=str(made))["subscriptions"]["page"]
    fields = {one["field"] for each in page["productBlockInstances"] for one in each["productBlockInstanceValues"]}
    assert "shelf" in fields and "gone" not in fields


def test_a_computed_field_that_fails_is_an_error_at_its_place(trees: Asker) -> None:
    found, errors = seen(trees, plant(trees, big=13, colour="blue"), "title colour")
    assert found == {"title": None, "colour": "BLUE"}
    (error,) = errors
    assert error["path"][-1] == "title"
    assert error["message"] == "A computed field fails with ZeroDivisionError; the server's log says where."


def test_values_that_do_not_fit_are_errors_and_the_rest_is_shown(trees: Asker) -> None:
    made = plant(trees, colour="blue", small=8)
    table = SubscriptionInstanceTable
    with trees.engine.database.transaction() as session:
        worse = table.values.op("||")(sa.cast(sa.literal({"colour": "green"}, sa.JSON), table.values.type))
        session.execute(sa.update(table).where(table.subscription_id == made).values(values=worse))
    found, errors = seen(trees, made, "colour shade small")
    assert found == {"colour": None, "shade": None, "small": 8}
    assert {error["path"][-1] for error in errors} == {"colour", "shade"}


def test_an_earlier_status_lacks_what_a_later_one_has(ask: Asker, network: Network) -> None:
    made = network.bed.add("Node Cisco", status=SubscriptionLifecycle.INITIAL, description="Node initial-only")
    query = """query($id: String!) { subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page {
      __typename status ... on NodeSubscription { vendor node { nodeName title } } } } }"""
    (found,) = ask.data(query, id=str(made.subscription_id))["subscriptions"]["page"]
    assert found == {
        "__typename": "NodeSubscription",
        "status": "INITIAL",
        "vendor": "CISCO",
        "node": {"nodeName": None, "title": None},
    }


def test_a_product_without_model_is_a_plain_subscription(
    trees: Asker, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plant(trees)
    other = Orchestrator([], (), None, trees.engine.database)
    monkeypatch.setattr(other, "prepare", lambda: other.database)
    bed = Engine(Testbed(other, trees.engine.bed.instance))
    with calling(application(bed), path="/api") as client:
        query = """query($id: String!) { subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page {
          __typename status product { name } productBlockInstances { id } } } }"""
        (found,) = Asker(client, bed).data(query, id=str(made))["subscriptions"]["page"]
    assert found == {
        "__typename": "PlainSubscription",
        "status": "ACTIVE",
        "product": {"name": "Graph Tree"},
        "productBlockInstances": [],
    }


# --- names ---


def same_name(module: str) -> type[Any]:
    """A block class of a name that another has."""
    space = {"__module__": module, "__annotations__": {"value": str | None}, "value": None}
    name = f"Same {module}"
    return type("SameBlock", (ProductBlockModel,), space, product_block_name=name)


def test_a_name_that_two_classes_have_is_prefixed_and_said(server: EmbeddedServer) -> None:
    with registry_kept():
        first, second = same_name("alpha.products.same"), same_name("beta.products.same")
        products = []
        for number, block in enumerate((first, second)):
            space = {"__module__": block.__module__, "__annotations__": {"held": block}}
            model = type(f"Holder{number}", (SubscriptionModel,), space, is_base=True)
            products.append(Product(f"Same {number}", "SAME", model, "Same", "same"))
        orchestrator = Orchestrator(products, (), None, None)
        names = type_names([orchestrator])
        assert [names.names[one] for one in (first, second)] == ["SameBlock", "BetaSameBlock"]
        (sentence,) = names.clashes
        assert sentence == (
            "GraphQL has a type SameBlock already (alpha.products.same.SameBlock), so beta.products.same.SameBlock is"
            " BetaSameBlock there. Rename the class to choose the name."
        )
        executor = make_executor(Served([orchestrator]), ApiSettings(oauth2_active=False))
        assert {"SameBlock", "BetaSameBlock"} <= set(executor.schema.type_map)


def test_types_are_those_of_all_locations_and_a_clash_of_two_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with registry_kept():
        orchestrators = []
        for number, block in enumerate(map(same_name, ("delta.products.same", "omega.products.same"))):
            space = {"__module__": block.__module__, "__annotations__": {"held": block}}
            model = type(f"Place{number}", (SubscriptionModel,), space, is_base=True)
            product = Product(f"Place {number}", "SAME", model, "Same", "same")
            orchestrators.append(Orchestrator([product], (), None, None, name=f"location{number}"))
        executor = make_executor(Served(orchestrators), ApiSettings(oauth2_active=False))
        found = set(executor.schema.type_map)
        assert {"Place0Subscription", "Place1Subscription", "SameBlock", "OmegaSameBlock"} <= found
        assert "omega.products.same.SameBlock is OmegaSameBlock there" in caplog.text


def test_a_class_may_not_take_the_name_of_the_servers_own_types() -> None:
    with registry_kept():
        space = {"__module__": "gamma.products.x", "__annotations__": {"value": str | None}, "value": None}
        block = type("ProductBlock", (ProductBlockModel,), space, product_block_name="Own name")
        model = type("Own", (SubscriptionModel,), {"__annotations__": {"held": block}, "__module__": "x"}, is_base=True)
        names = type_names([Orchestrator([Product("Own", "OWN", model, "Own", "own")], (), None, None)])
        assert names.names[block] == "GammaProductBlock"


def test_every_type_of_the_server_is_reserved(engine: Engine) -> None:
    executor = make_executor(Served([engine.orchestrator]), ApiSettings(oauth2_active=False))
    own = set(executor.schema.type_map) - set(type_names([engine.orchestrator]).names.values())
    own = {name for name in own if not name.startswith("_") and "Connection" not in name and "Or" not in name[1:]}
    assert own - RESERVED == set()


def test_names_are_the_same_for_each_server_of_the_same_code(engine: Engine) -> None:
    found = [type_names([engine.orchestrator]).names for _ in range(2)]
    assert found[0] == found[1]
