"""A registry of models that a test may fill."""

from collections.abc import Iterator

import pytest

from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY


@pytest.fixture
def registry() -> Iterator[dict[str, type]]:
    """The registry, empty, put back after the test."""
    before = dict(SUBSCRIPTION_MODEL_REGISTRY)
    SUBSCRIPTION_MODEL_REGISTRY.clear()
    yield SUBSCRIPTION_MODEL_REGISTRY
    SUBSCRIPTION_MODEL_REGISTRY.clear()
    SUBSCRIPTION_MODEL_REGISTRY.update(before)
