"""How often subscriptions are validated: the maximum age of a result, and the pauses after drift and an outage."""

import random
from datetime import datetime, timedelta

from resources import clock
from resources.domain.models.registry import VALIDATED_WITHIN
from resources.settings import settings

EARLIEST, LATEST = 0.8, 0.9
"""A subscription is due again between these shares of its maximum age, so that it is validated before that age in spite
of a queue; the spread keeps a fleet that was validated at once from being due at once.
"""


def maximum_age(product: str) -> timedelta:
    """How old the last result of a product's subscriptions may be: what the product declares, else the setting."""
    return VALIDATED_WITHIN.get(product) or timedelta(hours=settings().validate_within_hours)


def minimum_age() -> timedelta:
    """How old a result is at least before the subscription is validated again, unless it has changed."""
    return timedelta(minutes=settings().validation_minimum_age_minutes)


def unreachable_pause() -> timedelta:
    """How long what cannot be validated now is left alone: a system does not answer, or a process holds it."""
    return timedelta(minutes=settings().validate_unreachable_after_minutes)


def next_due(result: str, product: str) -> datetime:
    """When a subscription of this product is due again that has just been validated with this result."""
    longest = maximum_age(product)
    if result == "passed":
        pause = longest * random.uniform(EARLIEST, LATEST)
    elif result == "unreachable":
        pause = unreachable_pause()
    else:
        pause = timedelta(minutes=settings().validate_drifted_after_minutes)
    return clock.now() + max(minimum_age(), min(pause, longest))
