"""How often subscriptions are validated: by their product, by the last result, never sooner than the minimum age."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from resources import clock
from resources.catalogue.catalogue import Catalogue
from resources.errors import ModelDeclarationError
from resources.settings import settings
from resources.validations.pace import maximum_age, next_due
from tests.test_resources.test_catalogue.nodes import PLAIN
from tests.test_resources.test_domain.samples import product

HOUR = timedelta(hours=1)


@pytest.fixture
def set_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    settings.cache_clear()


def pause(result: str, name: str) -> timedelta:
    return next_due(result, name) - clock.now()


def declare(**ages: timedelta | None) -> None:
    Catalogue([product(PLAIN, name=name, validated_within=age) for name, age in ages.items()])


def test_a_product_declares_its_maximum_age_and_others_have_that_of_the_settings() -> None:
    declare(Hourly=HOUR, Plain=None)
    assert [maximum_age(name) for name in ("Hourly", "Plain", "Unknown")] == [HOUR, 24 * HOUR, 24 * HOUR]


def test_what_passed_is_due_before_its_maximum_age_and_not_all_at_once() -> None:
    declare(Hourly=HOUR)
    found = [pause("passed", "Hourly") for _ in range(50)]
    assert 0.79 * HOUR < min(found) < max(found) <= 0.9 * HOUR
    assert max(found) - min(found) > 0.02 * HOUR


def test_what_drifted_is_looked_at_again_at_an_interval_of_its_own() -> None:
    assert 0.99 * HOUR < pause("drifted", "Plain") <= HOUR


def test_what_was_unreachable_is_tried_again_after_a_pause() -> None:
    assert timedelta(minutes=4) < pause("unreachable", "Plain") <= timedelta(minutes=5)


def test_no_pause_is_longer_than_the_maximum_age() -> None:
    declare(Often=timedelta(minutes=2))
    assert pause("failed", "Often") <= timedelta(minutes=2)


def test_no_pause_is_shorter_than_the_minimum_age(set_to: pytest.MonkeyPatch) -> None:
    set_to.setenv("VALIDATION_MINIMUM_AGE_MINUTES", "10")
    settings.cache_clear()
    assert pause("unreachable", "Plain") > timedelta(minutes=9)


@pytest.mark.parametrize("age", [timedelta(seconds=30), timedelta(days=4000), -HOUR])
def test_an_age_that_nobody_can_mean_is_refused_by_name(age: timedelta) -> None:
    with pytest.raises(ModelDeclarationError, match=r"Product 'Odd' is to be validated within .*give a time between"):
        declare(Odd=age)
