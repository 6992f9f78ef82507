"""Arguments out of the state, results back into it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, ip_address
from typing import Any
from uuid import UUID

import pytest
from dagster import ConfigurableResource
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from ops.steps.arguments import arguments_of
from ops.steps.context import Scope
from ops.steps.state import Delta, masked, merged, reveal, to_json
from resources.database.session import SubscriptionDatabase
from resources.errors import StateError


def call(function, state, scope=None):
    return function(**arguments_of(function).values(state, scope or Scope(), function.__name__))


def test_argument_by_name():
    """A parameter takes the key of its name."""

    def take(speed):
        return speed

    assert call(take, {"speed": 10}) == 10


def test_missing_argument_names_function_key_and_what_there_is():
    """The message says who needs what, and what the state has."""

    def take(speed): ...

    with pytest.raises(StateError, match=r"take needs 'speed'.*it has mtu"):
        call(take, {"mtu": 1500})


def test_default_serves_a_missing_key():
    """A parameter with a default may be missing."""

    def take(speed=1):
        return speed

    assert call(take, {}) == 1


def test_state_is_the_whole_state():
    """The parameter `state` takes all of it."""

    def take(state):
        return state

    assert call(take, {"a": 1}) == {"a": 1}


def test_star_arguments_are_ignored():
    """`*args` and `**kwargs` take nothing."""

    def take(a, *args, **kwargs):
        return a, args, kwargs

    assert call(take, {"a": 1, "b": 2}) == (1, (), {})


@pytest.mark.parametrize(
    ("annotation", "stored", "expected"),
    [
        (UUID, "59289a57-70fb-4ff5-9c93-10fe67b12434", UUID("59289a57-70fb-4ff5-9c93-10fe67b12434")),
        (UUID | None, None, None),
        (list[UUID], ["59289a57-70fb-4ff5-9c93-10fe67b12434"], [UUID("59289a57-70fb-4ff5-9c93-10fe67b12434")]),
        (IPv4Address, "10.0.0.1", IPv4Address("10.0.0.1")),
        (datetime, "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (Decimal, "1.10", Decimal("1.10")),
        (Any, {"as": "is"}, {"as": "is"}),
    ],
)
def test_argument_has_its_annotated_type(annotation, stored, expected):
    """JSON in the state becomes what the parameter is declared to be."""

    def take(value): ...

    take.__annotations__["value"] = annotation
    assert arguments_of(take).values({"value": stored}, Scope(), "take") == {"value": expected}


def test_argument_of_wrong_type_is_refused():
    """The message names function, key, type and value."""

    def take(count: int): ...

    with pytest.raises(StateError, match=r"take takes 'count' as int; 'many' is not"):
        call(take, {"count": "many"})


class Inventory(ConfigurableResource[None]):
    """An external system."""

    url: str = ""


def test_resource_is_found_by_type():
    """The parameter's name does not matter, its type does."""

    def take(system: Inventory):
        return system

    inventory = Inventory()
    assert call(take, {}, Scope({"inventory": inventory})) is inventory


def test_the_database_is_a_resource():
    """Though it is no class of Dagster's."""

    def take(where: SubscriptionDatabase):
        return where

    database = SubscriptionDatabase()
    assert call(take, {}, Scope({"database": database})) is database


def test_unbound_resource_says_how_to_bind_it():
    """The message says what to give to build_definitions."""

    def take(system: Inventory): ...

    with pytest.raises(StateError, match=r"build_definitions\(resources="):
        call(take, {})


def test_result_is_laid_over_the_state():
    """Keys are set, others stay."""
    assert merged({"a": 1, "b": 1}, {"b": 2}, "f") == {"a": 1, "b": 2}


def test_no_result_changes_nothing():
    """A step may return None."""
    assert merged({"a": 1}, None, "f") == {"a": 1}


def test_remove_keys_removes():
    """`__remove_keys` lists keys to drop, and is not kept itself."""
    assert merged({"a": 1, "b": 1}, {"__remove_keys": ["a"]}, "f") == {"b": 1}


def test_result_that_is_no_mapping_is_refused():
    """The message names the step and what it returned."""
    with pytest.raises(StateError, match="f returned int"):
        merged({}, 3, "f")


class Colour(Enum):
    RED = "red"


class Number(int, Enum):
    ONE = 1


@dataclass
class Point:
    x: int


class Page(BaseModel):
    name: str
    password: SecretStr


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (ip_address("::1"), "::1"),
        (Decimal("1.5"), "1.5"),
        ({3, 1, 2}, [1, 2, 3]),
        ((1, "a"), [1, "a"]),
        (Point(1), {"x": 1}),
        ({UUID(int=0): 1}, {str(UUID(int=0)): 1}),
        (datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "2026-01-02T03:04:05.678901Z"),
    ],
)
def test_value_becomes_json(value, expected):
    """What steps return is kept as JSON."""
    assert to_json(value, "f") == expected


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), "nul \x00"])
def test_value_without_json_form_is_refused(value):
    """What PostgreSQL cannot keep is refused, naming where it stands."""
    with pytest.raises(StateError, match=r"f\.deep"):
        to_json({"deep": value}, "f")


def test_secret_is_kept_for_later_steps():
    """A secret survives the state as a secret."""
    stored = to_json(Page(name="n", password=SecretStr("hush")), "f")
    assert reveal(stored)["password"].get_secret_value() == "hush"


def test_secret_is_masked_for_people():
    """Nobody reads a secret out of what is shown."""
    stored = to_json({"deep": [Page(name="n", password=SecretStr("hush"))]}, "f")
    assert "hush" not in str(masked(stored))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('aé✓ "\\\n🙂'), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=10,
)
states = st.dictionaries(st.text("abcd", min_size=1, max_size=3), json_values, max_size=5)


@given(states, states)
def test_delta_leads_from_one_state_to_the_other(before, after):
    """Whatever the two states are, the delta between them applied to the first is the second."""
    assert Delta.between(before, after).applied_to(before) == after


@given(states)
def test_json_stays_as_it_is(state):
    """What is JSON already is not changed by being made JSON."""
    assert to_json(state, "f") == state


@given(states)
def test_no_change_is_an_empty_delta(state):
    """A step that changes nothing leaves nothing in the ledger."""
    assert not Delta.between(state, dict(state))
