"""The playbook runner, which configures the devices, asked over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import dagster as dg
from pydantic import Field


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where a device is (was, before the playbook) not as the playbook wants it."""

    path: str
    expected: Any
    actual: Any


@dataclass(frozen=True, slots=True)
class Job:
    """One execution of a playbook. `status` is pending, running, successful or failed.

    `changed` says whether a device was changed; a `check_…` playbook changes none and only fills `differences`.
    """

    id: str
    playbook: str
    status: str
    changed: bool = False
    differences: tuple[Difference, ...] = ()
    error: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the status will not change any more."""
        return self.status in ("successful", "failed")


class PlaybookRunner(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The playbook runner over HTTP; the lab's when no url is configured here or in PLAYBOOK_URL."""

    resource_key: ClassVar[str] = "playbooks"

    url: str = Field("", description="address of the runner; PLAYBOOK_URL, else the lab's, when empty")
    token: str = Field("", description="bearer token; PLAYBOOK_TOKEN when empty")
    timeout: float = Field(10, gt=0, description="seconds to wait for each answer")
    poll_interval: float = Field(0.1, gt=0, description="seconds between two looks at a running job")

    def start(
        self,
        playbook: str,
        extra_vars: Mapping[str, Any],
        *,
        idempotency_key: str,
        callback_url: str | None = None,
    ) -> Job:
        """Start the playbook and return at once; the same key again gives the job of before.

        The runner posts the finished job as JSON to `callback_url`. A playbook or variable that does not
        fit is an ExternalSystemError. A job that failed is not given again: the same key starts it anew.
        """
        raise NotImplementedError

    def job(self, job_id: str) -> Job:
        """The job as it stands; ExternalSystemError when there is none."""
        raise NotImplementedError

    def wait(self, job: Job, timeout: float = 60) -> Job:
        """The job when it has succeeded. PlaybookFailed when it failed, ExternalSystemUnavailable after `timeout` s."""
        raise NotImplementedError

    def run(self, playbook: str, extra_vars: Mapping[str, Any], *, idempotency_key: str, timeout: float = 60) -> Job:
        """`start`, then `wait`."""
        raise NotImplementedError

    def check(self, playbook: str, extra_vars: Mapping[str, Any], *, timeout: float = 60) -> tuple[Difference, ...]:
        """What `playbook` would change on the devices, without changing it; empty when reality is as wanted."""
        raise NotImplementedError

    def observe(self, device: str) -> dict[str, Any]:
        """What the device is configured to do: `{name, system: {…}, interfaces: {name: {…}}, services: {name: {…}}}`.

        A device that no playbook has touched is empty, not an error.
        """
        raise NotImplementedError
