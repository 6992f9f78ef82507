"""Dagster instances to measure, with nothing that captures logs or calls home."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster import DagsterInstance

NO_LOGS = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}


@contextmanager
def instance_on(home: Path, url: str, mode: str = "grouped") -> Iterator[DagsterInstance]:
    """An instance on the database `url`, which is made when it is missing; its dagster.yaml lies in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    storage = {
        "module": "resources.dagster_storage",
        "class": "OrchestratorStorage",
        "config": {"postgres_url": url, "mode": mode},
    }
    configuration = {"storage": {"custom": storage}, "compute_logs": NO_LOGS, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(json.dumps(configuration))
    with DagsterInstance.from_config(str(home)) as instance:
        yield instance
