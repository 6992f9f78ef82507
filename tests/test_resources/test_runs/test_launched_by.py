"""The user in a run's tags: whole when a server has signed it, in doubt when not."""

from datetime import timedelta

import pytest
from dagster import DagsterInstance

from resources import clock, tags
from resources.runs.launched_by import LONGEST_PART, launched_by, signed
from resources.users import SYSTEM, Role, User

ANNA = User("anna", roles=[Role.ENGINEER], claims={"team": "noc", "groups": [1, 2]})


@pytest.fixture(scope="module")
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


def test_user_comes_back_with_roles_and_claims(instance):
    found = launched_by(instance, signed(instance, ANNA))
    assert (found, found.roles, dict(found.claims), found.doubt) == (ANNA, ANNA.roles, dict(ANNA.claims), "")


def test_long_claims_go_in_parts_that_postgresql_can_index(instance):
    groups = [f"{number * 7919 % 65521:x}" for number in range(5000)]
    known = signed(instance, User("anna", claims={"groups": groups}))
    assert len(known) > 3
    assert max(map(len, known.values())) <= LONGEST_PART
    assert launched_by(instance, known).claims["groups"] == groups


def test_run_that_names_nobody_is_the_engines_or_the_owners(instance):
    assert launched_by(instance, {}) is SYSTEM
    assert launched_by(instance, tags.of_user(SYSTEM)) is SYSTEM


def test_name_without_a_signature_has_no_roles_and_says_why(instance):
    found = launched_by(instance, {tags.USER: "anna"})
    assert (found, found.roles, dict(found.claims)) == ("anna", frozenset(), {})
    assert "no server has signed that" in found.doubt


FORGERIES = {
    "another name": lambda known: known | {tags.USER: "the boss"},
    "another part": lambda known: known | {f"{tags.SIGNED}_0": known[f"{tags.SIGNED}_0"][::-1]},
    "no parts": lambda known: {tag: known[tag] for tag in (tags.USER, tags.SIGNED)},
    "another signature": lambda known: known | {tags.SIGNED: "1 " + "0" * 64},
    "words": lambda known: known | {tags.SIGNED: "trust me, Ännchen"},
    "many parts": lambda known: known | {tags.SIGNED: "9999999999 x"},
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_forged_tags_have_no_roles_and_say_so(instance, forge):
    found = launched_by(instance, forge(signed(instance, ANNA)))
    assert (found.roles, dict(found.claims)) == (frozenset(), {})
    assert "is not valid" in found.doubt


def test_signature_of_another_instance_is_none(instance):
    with DagsterInstance.ephemeral() as other:
        assert "is not valid" in launched_by(instance, signed(other, ANNA)).doubt


def test_signature_is_valid_for_a_day(instance, monkeypatch):
    known, now = signed(instance, ANNA), clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(hours=25))
    found = launched_by(instance, known)
    assert found.roles == frozenset()
    assert "more than 24 hours ago" in found.doubt
