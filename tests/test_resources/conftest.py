"""What the tests of resources share."""

from collections.abc import Iterator

import pytest

from resources.database.session import SubscriptionDatabase
from resources.lab.testing import Lab, lab_server


@pytest.fixture
def lab(database: SubscriptionDatabase) -> Iterator[Lab]:
    """A lab of the test's own, with clients bound to it."""
    with lab_server(database) as lab:
        yield lab
