"""The code location that is measured through doors: what code servers, workers and the shell load."""

from dagster import Definitions

from benchmarks.toys import OPS, STEPS
from orchestrator_defs.jobs.orchestrator import Orchestrator

site = Orchestrator([], STEPS)
defs = Definitions.merge(site.definitions, Definitions(jobs=OPS))
