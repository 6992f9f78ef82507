"""The plugins of this test suite: the public ones, which those who write workflows use too, and its own."""

import pytest

pytest_plugins = [
    "resources.testing",
    "orchestrator_defs.testing",
    "tests.engine",
    "tests.api",
    "tests.oidc",
    "tests.fixtures",
    "tests.round_trips",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak`: the tests of failure and endurance at their full length."""
    parser.addoption("--soak", action="store_true", help="the tests of failure and endurance at full length: an hour")


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether the tests of failure and endurance are to be long."""
    return bool(request.config.getoption("--soak"))
