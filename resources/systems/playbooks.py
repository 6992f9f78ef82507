"""The playbook runner, which configures the devices, over HTTP."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import dagster as dg
from pydantic import Field

from resources.errors import ExternalSystemError, ExternalSystemUnavailable, PlaybookFailed
from resources.settings import settings
from resources.systems.difference import Difference
from resources.systems.http_session import configured_url, own_words, session_for

SYSTEM = "playbooks"
"""How differences name the runner, which is its key as a resource, too."""
FIRST_LOOK = 0.01
"""Seconds until the first poll of a started job; each is twice as long as the last, up to `poll_interval`."""


@dataclass(frozen=True, slots=True)
class Job:
    """An execution of a playbook. `status` is pending, running, successful or failed.

    `changed`: whether a device was changed; a `check_…` playbook changes none and only fills `differences`.
    """

    id: str
    playbook: str
    status: str
    changed: bool = False
    differences: tuple[Difference, ...] = ()
    error: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether the status is final."""
        return self.status in ("successful", "failed")


class PlaybookRunner(dg.ConfigurableResource[Any]):
    """The playbook runner over HTTP, at `url` or PLAYBOOK_URL; ExternalSystemNotConfigured when neither is set."""

    resource_key: ClassVar[str] = SYSTEM
    is_shared: ClassVar[bool] = True

    url: str = Field(default="", description="address of the runner; PLAYBOOK_URL when empty")
    token: str = Field(default="", description="bearer token; PLAYBOOK_TOKEN when empty")
    timeout: float = Field(default=10, gt=0, description="seconds to wait for each answer")
    poll_interval: float = Field(default=0.1, gt=0, description="seconds between two polls of a running job")

    def start(
        self,
        playbook: str,
        extra_vars: Mapping[str, Any],
        *,
        idempotency_key: str,
        callback_url: str | None = None,
    ) -> Job:
        """Start the playbook and return at once; the same key returns the same job.

        The runner posts the finished job as JSON to `callback_url`. A wrong playbook or variable is an
        ExternalSystemError. For a failed job the same key starts it again.
        """
        return self._start(playbook, extra_vars, idempotency_key=idempotency_key, callback_url=callback_url)

    def job(self, job_id: str) -> Job:
        """Read a job; ExternalSystemError when there is none."""
        return _job(self._ask("GET", f"jobs/{quote(job_id, safe='')}"))

    def wait(self, job: Job, timeout: float = 60) -> Job:
        """Wait until the job succeeds. PlaybookFailed when it failed, ExternalSystemUnavailable after `timeout` s."""
        give_up = time.monotonic() + timeout
        pause = FIRST_LOOK
        while not job.is_finished:
            if time.monotonic() >= give_up:
                raise ExternalSystemUnavailable(
                    f"Playbook {job.playbook} (job {job.id}) is still {job.status} after {timeout:g} s; check later."
                )
            time.sleep(min(pause, max(0.0, give_up - time.monotonic())))
            pause = min(2 * pause, self.poll_interval)
            job = self.job(job.id)
        if job.status == "failed":
            raise PlaybookFailed(f"Playbook {job.playbook} (job {job.id}) failed: {job.error or 'no reason given'}")
        return job

    def run(self, playbook: str, extra_vars: Mapping[str, Any], *, idempotency_key: str, timeout: float = 60) -> Job:
        """`start`, then `wait`."""
        return self.wait(self.start(playbook, extra_vars, idempotency_key=idempotency_key), timeout)

    def check(self, playbook: str, extra_vars: Mapping[str, Any], *, timeout: float = 60) -> tuple[Difference, ...]:
        """What `playbook` would change on the devices, without changing them; empty when nothing."""
        job = self._start(playbook, extra_vars, idempotency_key=f"check:{uuid.uuid4()}", check=True)
        return self.wait(job, timeout).differences

    def observe(self, device: str) -> dict[str, Any]:
        """The configuration of the device: `{name, system: {…}, interfaces: {name: {…}}, services: {name: {…}}}`.

        It is empty, not an error, for a device that no playbook has configured.
        """
        return self._ask("GET", f"devices/{quote(device, safe='')}/config")

    # How

    def access(self) -> tuple[str, str]:
        """The address of the runner, and its token."""
        known = settings()
        url = configured_url("The playbook runner", "PLAYBOOK", self.url or known.playbook_url)
        return url, self.token or known.playbook_token.get_secret_value()

    def _start(
        self,
        playbook: str,
        extra_vars: Mapping[str, Any],
        *,
        idempotency_key: str,
        callback_url: str | None = None,
        check: bool = False,
    ) -> Job:
        body = {"extra_vars": dict(extra_vars), "check": check, "callback_url": callback_url}
        return _job(self._ask("POST", f"playbooks/{quote(playbook, safe='')}", body, idempotency_key))

    def _ask(self, method: str, path: str, body: Any = None, idempotency_key: str | None = None) -> dict[str, Any]:
        base, token = self.access()
        advice = "check PLAYBOOK_URL and that the runner is up, then try again"
        session = session_for("The playbook runner", base, advice, self.timeout)
        with session.with_headers(Authorization=f"Bearer {token}", Idempotency_Key=idempotency_key):
            response = session.request(method, f"{base}/{path}", json=body)
        if response.status_code == 404:
            raise ExternalSystemError(f"The playbook runner has no {path}: {own_words(response)}")
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ExternalSystemError(f"{base} is no playbook runner; check PLAYBOOK_URL.")
        return answer


def _job(one: Mapping[str, Any]) -> Job:
    found = one.get("differences") or ()
    return Job(
        id=str(one["id"]),
        playbook=one["playbook"],
        status=one["status"],
        changed=bool(one.get("changed")),
        differences=tuple(
            Difference(each["path"], each["expected"], each["actual"], PlaybookRunner.resource_key) for each in found
        ),
        error=one.get("error") or "",
    )
