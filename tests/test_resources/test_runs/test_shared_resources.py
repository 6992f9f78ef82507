"""External systems that all runs of a process share."""

from typing import Any, ClassVar

import dagster as dg
import pytest

from resources.errors import SettingsError
from resources.runs.shared_resources import as_shared

SEEN: list[Any] = []


class Plain(dg.ConfigurableResource[Any]):
    url: str = "http://here"


class Shared(Plain):
    is_shared: ClassVar[bool] = True


class Session(Shared):
    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Closes what a run has opened."""


@dg.op(required_resource_keys={"system"})
def look(context: dg.OpExecutionContext) -> None:
    SEEN.append(context.resources.system)


@dg.job(executor_def=dg.in_process_executor)
def looking() -> None:
    look()


def job_with(system: Any) -> dg.JobDefinition:
    return dg.Definitions(jobs=[looking], resources={"system": as_shared(system)}).resolve_job_def("looking")


def looked(job: dg.JobDefinition, *run_configs: Any) -> list[Any]:
    """The resource as the op of each run saw it."""
    SEEN.clear()
    for run_config in run_configs:
        assert job.execute_in_process(run_config=run_config).success
    return SEEN[:]


def override(url: str) -> dict[str, Any]:
    return {"resources": {"system": {"config": {"url": url}}}}


def test_runs_share_what_says_that_it_is_shared() -> None:
    one, another = looked(job_with(Shared()), None, None)
    assert one is another
    assert (type(one), one.url) == (Shared, "http://here")


def test_every_other_resource_is_of_one_run() -> None:
    one, another = looked(job_with(Plain()), None, None)
    assert one is not another


def test_another_configuration_is_another_object() -> None:
    seen = looked(job_with(Shared()), None, override("http://there"), None)
    assert [one.url for one in seen] == ["http://here", "http://there", "http://here"]


def test_a_changed_environment_is_another_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "http://first")
    job = job_with(Shared(url=dg.EnvVar("PLACE")))
    assert [one.url for one in looked(job, None)] == ["http://first"]
    monkeypatch.setenv("PLACE", "http://second")
    assert [one.url for one in looked(job, None)] == ["http://second"]


def test_what_ends_with_a_run_cannot_be_shared() -> None:
    with pytest.raises(SettingsError, match="Session cannot be shared by runs: it has teardown_after_execution"):
        as_shared(Session())


def test_people_see_the_same_configuration_of_it() -> None:
    fields = as_shared(Shared()).config_schema.config_type.fields
    assert set(fields) == {"url"}
