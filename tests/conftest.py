"""The plugins of this test suite: the public ones, which those who write workflows use too, and its own."""

import signal

import pytest

from tests.scale import Scaled

pytest_plugins = [
    "resources.testing",
    "orchestrator_defs.testing",
    "tests.engine",
    "tests.api",
    "tests.oidc",
    "tests.fixtures",
    "tests.round_trips",
    "tests.wheels",
]


def pytest_configure() -> None:
    """What tests start heeds the signals that a shell has its background jobs ignore."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--scale`: how much of their full size the tests of the kind `scale` have."""
    parser.addoption("--scale", type=float, default=0.01, help="size of the tests of scale: 1 is full, and takes hours")


@pytest.hookimpl(tryfirst=True)  # before those that are not asked for are taken out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for its size is of the kind `scale`."""
    for item in items:
        if "scaled" in getattr(item, "fixturenames", ()):
            item.add_marker("scale")


@pytest.fixture(scope="session")
def scaled(request: pytest.FixtureRequest) -> Scaled:
    """Gives the number to use in place of a full one, `scaled(5000, least=10)`, which `--scale` makes smaller."""
    return Scaled(request.config.getoption("--scale"))
