"""The whole engine: its pause, its workers, its search index, its settings."""

import logging
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, HTTPException, Path
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from orchestrator_defs.api.dependencies import DatabaseDep, ProcessesDep, SettingsDep, UserDep
from orchestrator_defs.api.rest.exposed_settings import exposed_settings
from orchestrator_defs.api.security.problems import example, problems
from orchestrator_defs.processes.launching import launch_all
from orchestrator_defs.processes.processes import Processes
from resources.processes.pause import EngineState, EngineStatus
from resources.runs.launching.launcher import launches_to_workers
from resources.runs.launching.worker_status import worker_status
from resources.subscriptions import search_index
from resources.types import ProcessId

log = logging.getLogger(__name__)

router = APIRouter(prefix="/settings", tags=["engine"])

CACHES = {"all": "All caches"}
"""Lists and counters come from the tables, so there is no cache to go stale; clients ask for names all the same."""


class Status(BaseModel):
    """Whether the engine starts anything new."""

    global_lock: bool = Field(description="whether it is paused")
    global_status: EngineStatus = Field(description="PAUSING: steps that were in progress have not ended yet")
    running_processes: int = Field(description="processes with a step in progress", examples=[0])


class Lock(BaseModel):
    """Whether the engine is to be paused."""

    model_config = ConfigDict(extra="forbid")

    global_lock: StrictBool = Field(examples=[True])


class Workers(BaseModel):
    """Which launcher executes runs, and the load."""

    executor_type: str = Field(description="workers, celery, or the class of another launcher", examples=["workers"])
    number_of_workers_online: int | None = Field(description="null when the launcher reports none", examples=[3])
    number_of_queued_jobs: int = Field(examples=[0])
    number_of_running_jobs: int = Field(examples=[1])


class SearchIndex(BaseModel):
    """The result of rebuilding the index."""

    subscriptions: int = Field(description="how many there are", examples=[10000])
    corrected: int = Field(description="how many entries were wrong", examples=[0])


class Variable(BaseModel):
    """A setting and its value, masked when it is secret."""

    env_name: str = Field(examples=["DATABASE_URI"])
    env_value: Any = Field(examples=["**********"])


class Group(BaseModel):
    """Settings that belong together."""

    name: str = Field(examples=["engine"])
    variables: list[Variable]


@router.get("/status", summary="Read whether the engine is paused", responses=problems(503))
def get_status(processes: ProcessesDep) -> Status:
    """RUNNING, PAUSING or PAUSED, and how many processes have a step in progress."""
    return _status(processes.engine.status())


@router.put("/status", summary="Pause or release the engine", responses=problems(400, 422, 503))
def set_status(lock: Lock, processes: ProcessesDep, user: UserDep, background: BackgroundTasks) -> Status:
    """Pause the engine, or release it so that stopped processes continue. Repeating it changes nothing."""
    if lock.global_lock:
        return _status(processes.engine.pause(user=user))
    background.add_task(_launch, processes, processes.engine.release(user=user))
    return _status(processes.engine.status())


def _status(state: EngineState) -> Status:
    return Status(global_lock=state.is_paused, global_status=state.status, running_processes=state.running)


def _launch(processes: Processes, process_ids: list[ProcessId]) -> None:
    """Launch the processes that the release continues; where only Dagster can launch, the sensor does it."""
    if launches_to_workers(processes.instance):
        for problem in launch_all(processes, process_ids).problems:
            log.warning("After the release of the engine, process %s", problem)


@router.get("/worker-status", summary="Read the status of the workers", responses=problems(503))
def get_worker_status(processes: ProcessesDep) -> Workers:
    """How many workers are online, and how many runs are queued or claimed."""
    found = worker_status(processes.instance)
    return Workers(
        executor_type=found.executor_type,
        number_of_workers_online=found.workers_online,
        number_of_queued_jobs=found.queued_jobs,
        number_of_running_jobs=found.running_jobs,
    )


@router.get("/cache-names", summary="List the caches", responses=example(CACHES))
def get_cache_names() -> dict[str, str]:
    """The names of caches that can be flushed, with their labels."""
    return CACHES


@router.delete("/cache/{name}", summary="Flush a cache", responses=example(0) | problems(404, 422))
def flush_cache(name: Annotated[str, Path(examples=["all"])]) -> int:
    """How many entries were removed: always none, since there is no cache."""
    if name not in CACHES:
        raise HTTPException(404, f"There is no cache of this name; there is {', '.join(CACHES)}.")
    return 0


@router.post("/search-index/reset", summary="Rebuild the search index", responses=problems(503))
def reset_search_index(database: DatabaseDep, user: UserDep) -> SearchIndex:
    """Rebuild the search index in batches, so that no request waits long for it.

    Every save updates the index, so normally no entry is wrong.
    """
    found = search_index.rebuild(database)
    log.info(
        "The search index was rebuilt by %r: %d of %d entries were wrong.", user, found.corrected, found.subscriptions
    )
    return SearchIndex(subscriptions=found.subscriptions, corrected=found.corrected)


@router.get("/overview", summary="Read the settings")
def get_overview(settings: SettingsDep) -> list[Group]:
    """The settings with secrets masked; none unless EXPOSE_SETTINGS or EXPOSE_OAUTH_SETTINGS is set."""
    return [
        Group(name=name, variables=[Variable(env_name=one.env_name, env_value=one.env_value) for one in variables])
        for name, variables in exposed_settings(settings).items()
    ]
