"""The plugins of this test suite: the public ones, which those who write workflows use too, and its own."""

pytest_plugins = [
    "resources.testing",
    "orchestrator_defs.testing",
    "tests.engine",
    "tests.fixtures",
    "tests.round_trips",
]
