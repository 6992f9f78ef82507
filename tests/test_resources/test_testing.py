"""The plugin gives each test a Dagster instance as new, whatever the test before did to it."""

from collections.abc import Iterator

import dagster as dg
import pytest

from resources.testing import KeptInstances


@pytest.fixture
def kept() -> Iterator[KeptInstances]:
    """Instances of the test's own."""
    kept = KeptInstances()
    yield kept
    kept.close()


def test_an_instance_is_emptied_and_kept(kept: KeptInstances) -> None:
    with kept.lent() as first:
        first.add_run(dg.DagsterRun(job_name="any"))
        first.add_dynamic_partitions("colours", ["red"])
    with kept.lent() as second:
        assert second is first
        assert second.get_runs_count() == 0
        assert second.get_dynamic_partitions("colours") == []


def test_an_instance_that_was_closed_is_replaced(kept: KeptInstances) -> None:
    with kept.lent() as closed:
        closed.dispose()
    with kept.lent() as instance:
        assert instance is not closed
        assert instance.get_runs_count() == 0
