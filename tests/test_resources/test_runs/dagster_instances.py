"""Dagster instances on this project's storage, for tests that need more than one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
from psycopg import sql

from resources.database.embedded import EmbeddedServer

QUIET = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
    "telemetry": {"enabled": False},
}


def custom(url: str, **config: Any) -> dict[str, Any]:
    """What dagster.yaml says of this project's storage."""
    place = {"module": "resources.runs.storage.dagster_storage", "class": "OrchestratorStorage"}
    return {"custom": {**place, "config": {"postgres_url": url, **config}}}


@contextmanager
def instance_on(home: Path, storage: dict[str, Any]) -> Iterator[dg.DagsterInstance]:
    """An instance whose dagster.yaml lies in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(json.dumps(QUIET | {"storage": storage}))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@contextmanager
def dagster_database(server: EmbeddedServer) -> Iterator[str]:
    """The URI of an empty database, dropped at the end."""
    name = f"dagster_{uuid4().hex}"
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield server.uri(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
