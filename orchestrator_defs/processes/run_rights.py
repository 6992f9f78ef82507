"""Rights on Dagster's runs: whoever launches, ends or deletes one acts on the processes behind it."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dagster import AssetCheckKey, AssetKey, DagsterRun

from ops.starting.permission import check_role
from orchestrator_defs.processes.process_access import ProcessAccess
from resources import tags
from resources.errors import UnknownProcess
from resources.processes import process_rows
from resources.processes.process_rows import Claim
from resources.users import User


def check_job(job_name: str, of_checks: bool, user: User, what: str) -> None:
    """Check the least role of a job's workflow. Raises NotAuthorised.

    A run that executes asset checks alone is of no workflow and changes nothing: the role for all launches is enough.
    """
    if not of_checks:
        check_role(job_name, user, what)


def is_of_checks(assets: Collection[AssetKey] | None, checks: Collection[AssetCheckKey] | None) -> bool:
    """Whether a run that selects these executes asset checks, and no asset."""
    return bool(checks) and not assets


class RunRights:
    """The rights of users of Dagster's page, by the workflow of the job and of each process that a run names."""

    def __init__(self, access: ProcessAccess) -> None:
        self._access = access

    def check_launch(self, run_config: Mapping[str, Any], known: Mapping[str, str], user: User) -> None:
        """Check the least role for the processes that a new run names; its steps ask the callbacks with the same user.

        Raises NotAuthorised.
        """
        with self._access.database.transaction(read_only=True):
            for claim in self._named(run_config, known):
                check_role(claim.workflow_name, user, "act on a process of")

    def check(self, run: DagsterRun, user: User, what: str) -> None:
        """Check what a user may do with a run, as with its process. Raises NotAuthorised."""
        check_job(run.job_name, is_of_checks(run.asset_selection, run.asset_check_selection), user, what)
        with self._access.database.transaction(read_only=True):
            for claim in self._named(run.run_config, run.tags, run.run_id, run.root_run_id):
                self._access.check_may(claim, user, what)

    def _named(self, run_config: Mapping[str, Any], known: Mapping[str, str], *ids: str | None) -> Iterator[Claim]:
        """The processes that a run executes or acts on. One that does not exist yet is judged by its job."""
        named = (run_config.get("process"), tags.read(known, tags.PROCESS), tags.read(known, tags.ACTS_ON), *ids)
        for one in dict.fromkeys(str(name) for name in named if name):
            try:
                yield self._access.find_claim(process_rows.find_process_id(one))
            except UnknownProcess:
                continue
