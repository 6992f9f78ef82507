"""The lab's playbook runner: its jobs change the configuration of devices, or report what they would change."""

import json
import time
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.database.session import SubscriptionDatabase
from resources.lab.devices import CHECKS, Config, Configs, differences, empty_config, rendered
from resources.lab.refusals import RefusedError, bad_field, conflict, not_found
from resources.lab.rules import injected_fault
from resources.lab.tables import devices, jobs

CALLBACK_SECONDS = 10
UNFINISHED = ("pending", "running")


class Runner:
    """Runs jobs in threads of its own, so that a slow one blocks no other."""

    def __init__(self, database: SubscriptionDatabase) -> None:
        self.engine = database.engine
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="lab-job")

    def resume(self) -> None:
        """Run the jobs again that were running when the lab ended."""
        with self.engine.connect() as connection:
            unfinished = connection.scalars(sa.select(jobs.c.id).where(jobs.c.status.in_(UNFINISHED))).all()
        for job_id in unfinished:
            self._threads.submit(self.run, job_id)

    def close(self) -> None:
        """Stop accepting jobs; jobs that have not begun run at the next start."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def start(self, playbook: str, given: Any, key: str | None) -> dict[str, Any]:
        """Start a job for the playbook, or return the job of this key; a failed one is started again."""
        if not isinstance(given, dict) or not isinstance(given.get("extra_vars", {}), dict):
            raise bad_field("extra_vars", "Expected a dictionary.")
        values = {
            "playbook": CHECKS.get(playbook, playbook),
            "check": bool(given.get("check")) or playbook in CHECKS,
            "extra_vars": given.get("extra_vars", {}),
        }
        # Refuse wrong requests before there is a job.
        rendered(values["playbook"], values["extra_vars"], {})
        with self.engine.begin() as connection:
            if key and (job := _earlier(connection, key)):
                if any(job[name] != value for name, value in values.items()):
                    raise conflict(f"Idempotency key {key!r} was used for another playbook or other variables.")
                return job
            values |= {"idempotency_key": key, "callback_url": given.get("callback_url")}
            job = _job(connection.execute(sa.insert(jobs).values(values).returning(jobs)).one())
        self._threads.submit(self.run, job["id"])
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job; 404 when there is none."""
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(jobs).where(sa.cast(jobs.c.id, sa.Text) == job_id)).one_or_none()
        if row is None:
            raise not_found()
        return _job(row)

    def run(self, job_id: str) -> None:
        """Execute the job and post it to the callback URL. May run twice, because a playbook describes a state."""
        job = self._finish(job_id) if self._begin(job_id) is None else self.job(job_id)
        if job["callback_url"]:
            _call_back(job)

    def observe(self, device: str) -> dict[str, Any]:
        """The configuration of a device; an empty one when no playbook has configured it."""
        with self.engine.connect() as connection:
            config = connection.scalar(sa.select(devices.c.config).where(devices.c.name == device))
        # In this order, which JSONB does not keep.
        return {"name": device} | empty_config() | (config or {})

    def _begin(self, job_id: str) -> str | None:
        """None when the job may continue, else why it failed."""
        with self.engine.begin() as connection:
            running = sa.update(jobs).where(jobs.c.id == job_id).values(status="running").returning(jobs.c.playbook)
            playbook = connection.execute(running).scalar_one()
            fault = injected_fault(connection, f"job {playbook}")
            error = f"A rule of the lab fails {playbook}." if fault.failure else None
        time.sleep(fault.seconds)
        if error:
            with self.engine.begin() as connection:
                _set(connection, job_id, status="failed", error=error, finished=sa.func.clock_timestamp())
        return error

    def _finish(self, job_id: str) -> dict[str, Any]:
        with self.engine.begin() as connection:
            lock_devices(connection)
            job = _job(connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one())
            result: dict[str, Any]
            try:
                result = _apply(connection, job)
            except RefusedError as refusal:
                result = {"status": "failed", "error": str(refusal.body)}
            return _set(connection, job_id, **result, finished=sa.func.clock_timestamp())


def lock_devices(connection: sa.Connection) -> None:
    """Let one job at a time change configurations, until the transaction ends."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("lab devices", 0))))


def read_configs(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> Configs:
    """The configuration of every device, or of those that fit the conditions, by name."""
    rows = connection.execute(sa.select(devices).where(*where).order_by(devices.c.name))
    return {row.name: empty_config() | row.config for row in rows}


def write_config(connection: sa.Connection, name: str, config: Config | None) -> None:
    """Set the configuration of a device; None deletes it."""
    if config is None:
        connection.execute(sa.delete(devices).where(devices.c.name == name))
        return
    query = insert(devices).values(name=name, config=config)
    connection.execute(query.on_conflict_do_update(index_elements=["name"], set_={"config": config}))


def _apply(connection: sa.Connection, job: dict[str, Any]) -> dict[str, Any]:
    configs = read_configs(connection, _is_concerned(job["extra_vars"]))
    wanted = rendered(job["playbook"], job["extra_vars"], configs)
    found = differences(
        {name: wanted.get(name, empty_config()) for name in wanted | configs},
        {name: configs.get(name, empty_config()) for name in wanted | configs},
    )
    if not job["check"]:
        for name in wanted | configs:
            if wanted.get(name) != configs.get(name):
                write_config(connection, name, wanted.get(name))
    return {"status": "successful", "changed": bool(found) and not job["check"], "differences": found}


def _is_concerned(variables: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    """The devices that a playbook names, and those that have its service: a job costs the same in any network."""
    listed = [end for value in variables.values() if isinstance(value, list) for end in value]
    names = [str(one.get("device")) for one in (variables, *listed) if isinstance(one, Mapping)]
    has_service: sa.ColumnElement[bool] = devices.c.config["services"].has_key(str(variables.get("service")))
    return devices.c.name.in_(names) | has_service


def _earlier(connection: sa.Connection, key: str) -> dict[str, Any] | None:
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"lab job {key}", 0))))
    query = sa.select(jobs).where(jobs.c.idempotency_key == key, jobs.c.status != "failed")
    row = connection.execute(query).one_or_none()
    return None if row is None else _job(row)


def _set(connection: sa.Connection, job_id: str, **values: Any) -> dict[str, Any]:
    return _job(connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values).returning(jobs)).one())


def _job(row: Any) -> dict[str, Any]:
    job = dict(row._mapping)
    return job | {name: value.isoformat() for name in ("started", "finished") if (value := job[name]) is not None}


def _call_back(job: dict[str, Any]) -> None:
    """Post the finished job. A receiver that does not answer can still ask for the job, so the job does not fail."""
    request = urllib.request.Request(
        job["callback_url"],
        data=json.dumps(job).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": job["id"]},
        method="POST",
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(request, timeout=CALLBACK_SECONDS).close()
    except OSError:
        return
