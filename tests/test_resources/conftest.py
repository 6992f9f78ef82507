"""What the tests of resources share."""

from collections.abc import Iterator

import pytest

from resources.database import SubscriptionDatabase
from resources.lab.testing import Lab, lab_server
from tests.test_resources.samples import registry_kept


@pytest.fixture
def lab(database: SubscriptionDatabase) -> Iterator[Lab]:
    """A lab of the test's own, with clients bound to it."""
    with lab_server(database) as lab:
        yield lab


@pytest.fixture(autouse=True)
def kept_registry() -> Iterator[None]:
    """The models registered by name are the same after a test as before."""
    with registry_kept():
        yield
