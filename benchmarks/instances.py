"""Dagster instances to measure: ours and stock, which differ in storage and launcher and in nothing else."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from dagster import DagsterInstance

from benchmarks.ground import Ground, create_database
from resources.database.session import postgres_url

COMMON = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
}
WARM = {
    "run_launcher": {
        "module": "resources.runs.launching.launcher",
        "class": "WarmRunLauncher",
        "config": {"runs_per_worker": 1_000_000},  # none is replaced while its memory or speed is looked at
    }
}
DEFAULT = {"run_launcher": {"module": "dagster._core.launcher", "class": "DefaultRunLauncher"}}


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: its name, its DAGSTER_HOME, its database, and the instance in this process."""

    name: str
    home: Path
    uri: str
    instance: DagsterInstance


@contextmanager
def both_sides(ground: Ground) -> Iterator[tuple[Side, Side]]:
    """Ours and stock, each on a fresh database of the same server."""
    with side(ground, "ours") as ours, side(ground, "stock") as stock:
        yield ours, stock


@contextmanager
def side(ground: Ground, name: str) -> Iterator[Side]:
    """`stock`: dagster-postgres as it is and a process per run. Any other name: grouped storage, resident workers."""
    uri = ground.server.uri(f"dagster_{name}")
    create_database(ground.server, f"dagster_{name}")
    home = ground.home / f"dagster-{name}"
    storage, launcher = (stock_storage(uri), DEFAULT) if name == "stock" else (our_storage(uri), WARM)
    with instance_on(home, {**storage, **launcher}) as instance:
        yield Side(name, home, uri, instance)


@contextmanager
def instance_on(home: Path, configuration: dict[str, Any]) -> Iterator[DagsterInstance]:
    """An instance whose dagster.yaml lies in `home`: what is given, and what all have in common."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(json.dumps({**COMMON, **configuration}))
    with DagsterInstance.from_config(str(home)) as instance:
        yield instance


def our_storage(uri: str, mode: str = "grouped") -> dict[str, Any]:
    """This project's storage, in one of its modes; makes its database when that is missing."""
    config = {"postgres_url": uri, "mode": mode}
    return {
        "storage": {
            "custom": {
                "module": "resources.runs.storage.dagster_storage",
                "class": "OrchestratorStorage",
                "config": config,
            }
        }
    }


def stock_storage(uri: str) -> dict[str, Any]:
    """dagster-postgres as its manual has it, with the driver that it works with."""
    url = postgres_url(uri, "psycopg2").render_as_string(hide_password=False)
    return {"storage": {"postgres": {"postgres_url": url}}}


def newest_run(one: Side) -> str:
    """The run that was created last."""
    with psycopg.connect(one.uri, autocommit=True) as connection:
        row = connection.execute("SELECT run_id FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None, "no run was created"
    return str(row[0])
