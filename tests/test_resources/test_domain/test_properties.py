"""Whatever a subscription holds, it is read back equal; whatever is done to it, nothing is left over."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import partial
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa
from annotated_types import Ge, Le, Len
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pydantic import Field, SecretStr

from resources.database.session import SubscriptionDatabase, current_session
from resources.database.tables import SubscriptionTable
from resources.domain.blocks import ProductBlockModel
from resources.domain.models.vlans import VlanRanges
from resources.domain.saving.documents import make_document
from resources.domain.subscription_model import SubscriptionModel
from tests.test_resources.test_domain.domain import CUSTOMER, DeviceBlockInactive, DeviceInactive, add_product

QUICK = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Colour(StrEnum):
    """Text."""

    RED = "red"
    BLUE = "blue"


class Rank(IntEnum):
    """Numbers."""

    LOW = 1
    HIGH = 2


class Mixed(Enum):
    """Both."""

    TEXT = "1"
    NUMBER = 2


class ValuesBlock(ProductBlockModel, product_block_name="Properties Values"):
    """A value of every kind that a network has."""

    text: str
    whole: int
    fraction: float
    flag: bool
    exact: Decimal
    identity: UUID
    moment: datetime
    day: date
    hour: time
    span: timedelta
    colour: Colour
    rank: Rank
    mixed: Mixed
    choice: Literal["a", 1, True]
    address: IPv4Address | IPv6Address
    network: IPv4Network | IPv6Network
    interface: IPv4Interface | IPv6Interface
    vlans: VlanRanges
    limited: Annotated[int, Ge(1), Le(4094)]
    either: int | str
    secret: SecretStr
    texts: list[str]
    numbers: list[int | None]
    addresses: list[IPv4Address]
    names: set[str]
    pair: tuple[int, str]
    table: dict[str, list[int]]
    maybe: Decimal | None
    defaulted: int | None = 7
    made: list[str] = Field(default_factory=lambda: ["made"])


TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
INTEGER = st.integers(-(2**70), 2**70)
ZONE = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT,
    "whole": INTEGER,
    "fraction": st.floats(allow_nan=False),
    "flag": st.booleans(),
    "exact": st.decimals(allow_nan=False, allow_infinity=False),
    "identity": st.uuids(),
    "moment": st.datetimes(timezones=ZONE),
    "day": st.dates(),
    "hour": st.times(),
    "span": st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)),
    "colour": st.sampled_from(Colour),
    "rank": st.sampled_from(Rank),
    "mixed": st.sampled_from(Mixed),
    "choice": st.sampled_from(["a", 1]),
    "address": st.ip_addresses(),
    "network": st.ip_addresses(v=4).map(lambda address: IPv4Network((address, 24), strict=False)),
    "interface": st.ip_addresses(v=6).map(lambda address: IPv6Interface((address, 64))),
    "vlans": st.frozensets(st.integers(1, 4094), max_size=5).map(VlanRanges),
    "limited": st.integers(1, 4094),
    "either": INTEGER | TEXT,
    "secret": TEXT.map(SecretStr),
    "texts": st.lists(TEXT, max_size=4),
    "numbers": st.lists(st.none() | INTEGER, max_size=4),
    "addresses": st.lists(st.ip_addresses(v=4), max_size=3),
    "names": st.sets(TEXT, max_size=4),
    "pair": st.tuples(INTEGER, TEXT),
    "table": st.dictionaries(TEXT, st.lists(INTEGER, max_size=2), max_size=2),
    "maybe": st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    "defaulted": st.none() | st.integers(),
    "made": st.lists(TEXT, max_size=2),
}


class LeafBlock(ProductBlockModel, product_block_name="Properties Leaf"):
    """The end of a branch."""

    number: int | None = None
    words: list[str] = Field(default_factory=list)


class TwigBlock(ProductBlockModel, product_block_name="Properties Twig"):
    """Holds others' blocks too."""

    device: DeviceBlockInactive | None = None
    leaf: LeafBlock | None = None


class BranchBlock(ProductBlockModel, product_block_name="Properties Branch"):
    """Everything that a block may hold."""

    number: int = 0
    one: LeafBlock
    maybe: TwigBlock | None = None
    some: Annotated[list[LeafBlock], Len(0, 5)]
    mixed: list[LeafBlock | TwigBlock]
    devices: list[DeviceBlockInactive]
    child: "BranchBlock | None" = None


class Tree(SubscriptionModel, is_base=True):
    """Two roots of one kind, one of them optional, and a list."""

    values: ValuesBlock | None = None
    left: BranchBlock
    right: BranchBlock | None = None
    leaves: list[LeafBlock]


@contextmanager
def forgotten(database: SubscriptionDatabase) -> Iterator[None]:
    """A transaction of the example's own, which is rolled back."""
    with database.transaction() as session:
        yield
        session.rollback()


def new_tree() -> Tree:
    return Tree.from_product_id(add_product(f"tree {uuid4()}"), CUSTOMER)


def device_blocks(count: int) -> list[DeviceBlockInactive]:
    found = []
    for number in range(count):
        device = DeviceInactive.from_product_id(add_product(f"device {uuid4()}"), CUSTOMER)
        device.device.hostname = f"d{number}"
        device.save()
        found.append(device.device)
    return found


@st.composite
def branches(draw: st.DrawFn, owner: UUID, devices: list[DeviceBlockInactive], depth: int = 2) -> BranchBlock:
    def leaf() -> LeafBlock:
        return LeafBlock.new(owner, number=draw(st.none() | INTEGER), words=draw(st.lists(TEXT, max_size=3)))

    def twig() -> TwigBlock:
        device = draw(st.none() | st.sampled_from(devices))
        return TwigBlock.new(owner, device=device, leaf=leaf() if draw(st.booleans()) else None)

    return BranchBlock.new(
        owner,
        number=draw(INTEGER),
        label=draw(st.none() | st.just("a label")),
        one=leaf(),
        maybe=twig() if draw(st.booleans()) else None,
        some=[leaf() for _ in range(draw(st.integers(0, 3)))],
        mixed=[leaf() if draw(st.booleans()) else twig() for _ in range(draw(st.integers(0, 3)))],
        devices=draw(st.lists(st.sampled_from(devices), max_size=3)),
        child=draw(branches(owner, devices, depth - 1)) if depth and draw(st.booleans()) else None,
    )


def assert_rows_agree(tree: Tree) -> None:
    """The rows give the model, the document gives the rows, and no row is left over."""
    read = Tree.from_subscription(tree.subscription_id)
    assert read == tree
    document = current_session().scalar(
        sa.select(SubscriptionTable.document).where(SubscriptionTable.subscription_id == tree.subscription_id)
    )
    assert document == make_document(read, read.header_record(), read.product.model_dump(mode="json"))
    instances, relations = _rows(tree.subscription_id)
    assert instances == {str(key) for key in _block_ids(tree.model_dump(mode="json"), tree.subscription_id)}
    assert relations == _relations(tree.model_dump(mode="json"), str(tree.subscription_id))


def _rows(subscription_id: UUID) -> tuple[set[str], int]:
    parameters = {"id": subscription_id}
    instances = current_session().scalars(
        sa.text("SELECT subscription_instance_id::text FROM subscription_instances WHERE subscription_id = :id"),
        parameters,
    )
    relations = current_session().scalar(
        sa.text(
            "SELECT count(*) FROM subscription_instance_relations r JOIN subscription_instances i"
            " ON i.subscription_instance_id = r.in_use_by_id WHERE i.subscription_id = :id"
        ),
        parameters,
    )
    return set(instances), relations or 0


def _blocks(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _blocks(item)
    elif isinstance(value, dict):
        if "subscription_instance_id" in value:
            yield value
        else:
            for item in value.values():
                yield from _blocks(item)


def _below(block: dict[str, Any]) -> list[dict[str, Any]]:
    return [held for value in block.values() for held in _blocks(value)]


def _own(block: dict[str, Any], owner: str) -> Iterator[dict[str, Any]]:
    if block["owner_subscription_id"] == owner:
        yield block
        for held in _below(block):
            yield from _own(held, owner)


def _block_ids(state: dict[str, Any], owner: UUID) -> set[str]:
    return {block["subscription_instance_id"] for root in _blocks(state) for block in _own(root, str(owner))}


def _relations(state: dict[str, Any], owner: str) -> int:
    blocks = {block["subscription_instance_id"]: block for root in _blocks(state) for block in _own(root, owner)}
    return sum(len(_below(block)) for block in blocks.values())


@QUICK
@given(values=st.fixed_dictionaries(VALUES))
def test_any_value_is_read_back_equal(worker_database: SubscriptionDatabase, values: dict[str, Any]) -> None:
    with forgotten(worker_database):
        tree = new_tree()
        tree.values = ValuesBlock.new(tree.subscription_id, **values)
        tree.save()

        read = Tree.from_subscription(tree.subscription_id)

        assert read == tree
        assert read.values is not None
        assert all(
            type(getattr(read.values, name)) is type(getattr(tree.values, name)) for name in ("either", "choice")
        )
        assert read.save() is None


@QUICK
@given(data=st.data())
def test_any_tree_is_read_back_equal(worker_database: SubscriptionDatabase, data: st.DataObject) -> None:
    with forgotten(worker_database):
        devices = device_blocks(2)
        tree = new_tree()
        tree.left = data.draw(branches(tree.subscription_id, devices))
        tree.right = data.draw(st.none() | branches(tree.subscription_id, devices))
        tree.leaves = [LeafBlock.new(tree.subscription_id) for _ in range(data.draw(st.integers(0, 3)))]
        tree.save()

        assert_rows_agree(tree)
        assert Tree.as_of(tree.subscription_id, 1) == tree
        assert Tree.from_subscription(tree.subscription_id).save() is None


class Editing(RuleBasedStateMachine):
    """Any sequence of edits, saves and reads; after each save rows, model and document agree."""

    def __init__(self, database: SubscriptionDatabase) -> None:
        super().__init__()
        self._transaction = database.transaction()
        self._session = self._transaction.__enter__()
        self.devices = device_blocks(3)
        self.tree = new_tree()
        self.is_saved = False

    def teardown(self) -> None:
        self._session.rollback()
        self._transaction.__exit__(None, None, None)

    @property
    def branch(self) -> BranchBlock:
        return self.tree.left if self.tree.right is None else self.tree.right

    def leaf(self) -> LeafBlock:
        return LeafBlock.new(self.tree.subscription_id, number=len(self.branch.some))

    @rule(number=INTEGER)
    def change_a_value(self, number: int) -> None:
        self.branch.number = number
        self.branch.one.number = number

    @rule()
    @precondition(lambda self: len(self.branch.some) < 5)
    def add_to_a_list(self) -> None:
        self.branch.some = [self.leaf(), *self.branch.some]

    @rule(data=st.data())
    @precondition(lambda self: self.branch.some)
    def remove_from_a_list(self, data: st.DataObject) -> None:
        del self.branch.some[data.draw(st.integers(0, len(self.branch.some) - 1))]

    @rule(data=st.data())
    def reorder_lists(self, data: st.DataObject) -> None:
        self.branch.some = data.draw(st.permutations(self.branch.some))
        self.branch.mixed = data.draw(st.permutations(self.branch.mixed))
        self.tree.leaves = data.draw(st.permutations(self.tree.leaves))

    @rule()
    def add_roots(self) -> None:
        self.tree.leaves.append(self.leaf())
        if self.tree.right is None:
            self.tree.right = BranchBlock.new(self.tree.subscription_id)

    @rule()
    def drop_roots(self) -> None:
        self.tree.leaves = self.tree.leaves[1:]
        self.tree.right = None

    @rule()
    def move_a_branch_down(self) -> None:
        if self.tree.right is not None:
            self.tree.left.child, self.tree.right = self.tree.right, None

    @rule()
    def cut_a_branch(self) -> None:
        self.branch.child = None

    @rule(data=st.data())
    def share_foreign_blocks(self, data: st.DataObject) -> None:
        self.branch.devices = data.draw(st.lists(st.sampled_from(self.devices), max_size=3))
        self.branch.maybe = TwigBlock.new(self.tree.subscription_id, device=data.draw(st.sampled_from(self.devices)))

    @rule()
    def give_up_what_is_optional(self) -> None:
        self.branch.maybe = None
        self.branch.devices = []

    @rule()
    def hold_one_block_twice(self) -> None:
        self.branch.mixed = [self.branch.one, *self.branch.some[:1]]

    @rule()
    def save(self) -> None:
        self.tree.save()
        self.is_saved = True
        assert_rows_agree(self.tree)
        assert self.tree.save() is None

    @rule()
    @precondition(lambda self: self.is_saved)
    def read_again(self) -> None:
        self.tree.save()
        self.tree = Tree.from_subscription(self.tree.subscription_id)

    @invariant()
    def nothing_of_others_is_touched(self) -> None:
        assert [DeviceInactive.from_subscription(block.owner_subscription_id).device for block in self.devices[:1]] == (
            self.devices[:1]
        )


def test_any_sequence_of_edits_leaves_rows_model_and_document_in_agreement(
    worker_database: SubscriptionDatabase,
) -> None:
    edits = settings(QUICK, max_examples=25, stateful_step_count=30)
    run_state_machine_as_test(partial(Editing, worker_database), settings=edits)  # type: ignore[arg-type]
