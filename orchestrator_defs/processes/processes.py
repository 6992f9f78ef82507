"""The processes of a code location, or of several: the API, the CLI and Dagster's page use the part that they need.

`user` is the authenticated user, recorded in the ledger and in the tags of runs. A change of a process is committed
first; its next run is launched after that. If our process ends in between, the sweeper launches it.
"""

from dagster import DagsterInstance

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.processes.engine_pause import EnginePause
from orchestrator_defs.processes.process_access import ProcessAccess
from orchestrator_defs.processes.process_answers import ProcessAnswers
from orchestrator_defs.processes.process_interventions import ProcessInterventions
from orchestrator_defs.processes.process_queries import ProcessQueries
from orchestrator_defs.processes.process_runs import ProcessRuns
from orchestrator_defs.processes.process_start import ProcessStart
from orchestrator_defs.processes.run_rights import RunRights
from resources.database.session import SubscriptionDatabase


class Processes:
    """The processes of orchestrators whose runs are in one Dagster instance, by kind of operation."""

    def __init__(self, orchestrators: Orchestrator | Served, instance: DagsterInstance) -> None:
        self.served = orchestrators if isinstance(orchestrators, Served) else Served([orchestrators])
        access = ProcessAccess(self.served, instance)
        self.instance = instance
        self.queries = ProcessQueries(access)
        self.starts = ProcessStart(access)
        self.answers = ProcessAnswers(access, self.queries)
        self.runs = ProcessRuns(access, self.queries, self.answers)
        self.interventions = ProcessInterventions(access, self.queries, self.answers, self.runs)
        self.engine = EnginePause(access, self.answers)
        self.rights = RunRights(access)
        self.form_resources = access.form_resources

    @property
    def database(self) -> SubscriptionDatabase:
        """The subscription database, migrated."""
        return self.served.prepare()
