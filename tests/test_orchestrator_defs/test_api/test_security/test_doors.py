"""Every door gives the same answer: to a process of a workflow for admins nobody below may do anything."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from dagster import DagsterInstance
from graphql import get_named_type, is_input_object_type
from starlette.applications import Starlette

from ops.starting.permission import least_roles
from ops.steps.step import begin
from orchestrator_defs.api.dagster_page import checked_schema, runs_in
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.processes.process_jobs import process_jobs
from orchestrator_defs.processes.processes import Processes
from resources import tags
from resources.runs.code_location import CodeLocation
from resources.runs.launched_by import signed
from resources.runs.launching.launcher import create_run
from resources.users import SYSTEM, Role, User
from tests.api import calling
from tests.engine import Engine
from tests.oidc import bearer, login_at
from tests.test_orchestrator_defs.test_api.test_server.test_dagster_page import REPOSITORY, Named

pytestmark = pytest.mark.xdist_group("dagster page")

GUARDED = {"guarded_*": Role.ADMIN}
NEEDED = "that needs the role admin"
WHY = {"reason": "why"}
SEVERAL = "... on LaunchMultipleRunsResult {launchMultipleRunsResult {... on PythonError {message}}}"


@dataclass
class House:
    """A process in each state, and what doors are made of."""

    engine: Engine
    api: httpx.Client
    page: httpx.Client
    instance: DagsterInstance
    headers: dict[Role, dict[str, str]]

    def __post_init__(self) -> None:
        self.asking, self.failed, self.ended = (self.engine.run(f"guarded_{name}") for name in ("ask", "fail", "end"))
        self.run_of(self.failed, "guarded_fail")

    def run_of(self, process_id: UUID, job: str) -> None:
        """A run of a process in the page's storage."""
        known = {tags.PROCESS: str(process_id)}
        code = CodeLocation.of_module(REPOSITORY["repositoryLocationName"], "code", "defs", Path())
        create_run(self.instance, self.engine.orchestrator.job(job), run_id=str(process_id), tags=known, location=code)

    def rest(self, role: Role, method: str, path: str, body: Any = None) -> str:
        answer = self.api.request(method, path, json=body, headers=self.headers[role])
        return "" if answer.is_success else answer.text

    def graphql(self, role: Role, query: str) -> str:
        answer = self.api.post("/graphql", json={"query": query}, headers=self.headers[role]).json()
        return json.dumps(answer["errors"]) if "errors" in answer else ""

    def ask(self, role: Role, mutation: str, kind: str, value: Any) -> str:
        several = SEVERAL if "Multiple" in mutation else ""
        query = f"mutation($v: {kind}) {{{mutation} {{... on PythonError {{message}} {several}}}}}"
        body = {"query": query, "variables": {"v": value}}
        answer = self.page.post("/graphql", headers={"x-role": role}, json=body).json()
        if "errors" in answer:
            return json.dumps(answer["errors"])
        return " ".join(re.findall(r'"message": "(.*?)"', json.dumps(answer["data"])))

    def launch(self, role: Role, job: str, config: Any = None, **metadata: Any) -> str:
        return self.ask(
            role, "launchRun(executionParams: $v)", "ExecutionParams!", self.execution(job, config, **metadata)
        )

    def execution(self, job: str, config: Any = None, **metadata: Any) -> dict[str, Any]:
        return {
            "selector": {**REPOSITORY, "jobName": job},
            "runConfigData": json.dumps(config or {}),
            "executionMetadata": metadata,
        }

    def run(self, role: Role, job: str, config: Any = None, **known: str) -> str:
        """A run that a worker executes, launched by somebody with this role."""
        jobs = {one.name: one for one in process_jobs(self.engine.orchestrator)}
        definition = jobs.get(job) or self.engine.orchestrator.job(job)
        signature = signed(self.engine.instance, User("anna", roles=[role]))
        with least_roles(GUARDED):
            done = definition.execute_in_process(
                run_config=config, instance=self.engine.instance, raise_on_error=False, tags={**signature, **known}
            )
        failures = [one.step_failure_data for one in done.filter_events(lambda one: one.is_step_failure)]
        return " ".join(one.user_failure_data.description for one in failures if one.user_failure_data)


REST = {
    "start": lambda house, role: house.rest(role, "POST", "/processes/guarded_end", [{}]),
    "answer": lambda house, role: house.rest(role, "PUT", f"/processes/{house.asking}/resume", {"name": "x"}),
    "retry": lambda house, role: house.rest(role, "PUT", f"/processes/{house.failed}/resume"),
    "abort": lambda house, role: house.rest(role, "PUT", f"/processes/{house.asking}/abort"),
    "skip": lambda house, role: house.rest(role, "PUT", f"/processes/{house.failed}/skip", WHY),
    "note": lambda house, role: house.rest(role, "PATCH", f"/processes/{house.failed}", {"note": "x"}),
    "delete": lambda house, role: house.rest(role, "DELETE", f"/processes/{house.ended}"),
    "schedule": lambda house, role: house.rest(
        role,
        "POST",
        "/schedules/",
        {"workflow_name": "guarded_end", "trigger": "interval", "trigger_kwargs": {"hours": 4}},
    ),
}
START = 'mutation {startProcess(name: "guarded_end", payload: {payload: [{}]}) {__typename}}'
GRAPHQL = {"start": lambda house, role: house.graphql(role, START)}
PAGE = {
    "start": lambda house, role: house.launch(role, "guarded_end"),
    "launch several": lambda house, role: house.ask(
        role,
        "launchMultipleRuns(executionParamsList: $v)",
        "[ExecutionParams!]!",
        [house.execution("abort_process", {"process": str(house.asking)})],
    ),
    "continue": lambda house, role: house.launch(role, "guarded_fail", {"process": str(house.failed)}),
    "answer_process": lambda house, role: house.launch(
        role, "answer_process", {"process": str(house.asking), "inputs": {"name": "x"}}
    ),
    "abort_process": lambda house, role: house.launch(role, "abort_process", {"process": str(house.asking)[:13]}),
    "by tag": lambda house, role: house.launch(role, "plain", tags=[{"key": tags.PROCESS, "value": str(house.failed)}]),
    "in the group of": lambda house, role: house.launch(
        role, "plain", rootRunId=str(house.failed), parentRunId=str(house.failed)
    ),
    "re-execute": lambda house, role: house.ask(
        role,
        "launchRunReexecution(reexecutionParams: $v)",
        "ReexecutionParams!",
        {"parentRunId": str(house.failed), "strategy": "ALL_STEPS"},
    ),
    "terminate": lambda house, role: house.ask(role, "terminateRun(runId: $v)", "String!", str(house.failed)),
    "terminate several": lambda house, role: house.ask(
        role, "terminateRuns(runIds: $v)", "[String!]!", [str(house.failed)]
    ),
    "delete": lambda house, role: house.ask(role, "deleteRun(runId: $v)", "String!", str(house.failed)),
}
RUN = {
    "start": lambda house, role: house.run(role, "guarded_end"),
    "answer_process": lambda house, role: house.run(
        role, "answer_process", {"process": str(house.asking), "inputs": {"name": "x"}}
    ),
    "abort_process": lambda house, role: house.run(role, "abort_process", {"process": str(house.asking)}),
}
KINDS = {"REST": REST, "GraphQL": GRAPHQL, "page": PAGE, "run": RUN}
DOORS = {f"{kind}: {name}": door for kind, doors in KINDS.items() for name, door in doors.items()}


@pytest.fixture
def house(engine_of, api_of, provider, guarded_tasks, running_page):
    engine = engine_of(*guarded_tasks)
    app = Starlette()
    app.router.default = running_page.page
    app.state.processes = Processes(engine.orchestrator, running_page.instance)
    roles = {name: role.value for name, role in GUARDED.items()}
    with calling(Named(app, GUARDED)) as page:
        api = api_of(engine, **login_at(provider), workflow_roles=roles)
        headers = {role: bearer(provider.mint(roles=[role], preferred_username="anna")) for role in Role}
        yield House(engine, api, page, running_page.instance, headers)


@pytest.mark.parametrize("name", DOORS)
def test_admin_only_process_is_for_admins_behind_every_door(house, name):
    """To a viewer and an engineer each door says no, and changes nothing; to an admin it opens."""
    door, before = DOORS[name], house.engine.count_processes()
    assert door(house, Role.VIEWER)
    assert NEEDED in door(house, Role.ENGINEER)
    assert house.engine.count_processes() == before
    statuses = [house.engine.process(one).last_status for one in (house.asking, house.failed, house.ended)]
    assert statuses == ["suspended", "failed", "completed"]
    assert door(house, Role.ADMIN) == ""


def test_a_persons_run_that_retries_a_failed_process_is_judged(house):
    """Also when it is a re-execution, which no job of ours sees."""
    config = {"process": str(house.failed)}
    assert NEEDED in house.run(Role.ENGINEER, "guarded_fail", config)
    assert house.engine.process(house.failed).run_id == str(house.failed)
    assert "on purpose" in house.run(Role.ADMIN, "guarded_fail", config)


def test_name_that_nobody_has_signed_opens_nothing(house):
    """Whoever launches from the shell without a name is the owner of the database."""
    config = {"process": str(house.asking), "inputs": {"name": "x"}}
    (answer,) = [one for one in process_jobs(house.engine.orchestrator) if one.name == "answer_process"]

    def execute(**known: str) -> Any:
        return answer.execute_in_process(
            run_config=config, instance=house.engine.instance, raise_on_error=False, tags=known
        )

    with least_roles(GUARDED):
        refused = execute(user="root").failure_data_for_node("answer").user_failure_data.description
        assert NEEDED in refused
        assert "no server has signed that" in refused
        assert house.engine.process(house.asking).last_status == "suspended"
        assert execute().success


def test_callbacks_get_the_whole_user_of_a_signed_run(engine_of):
    seen = []

    @task("Seen", authorize_callback=lambda context: seen.append(context.user) or True)
    def seen_task():
        return begin

    engine = engine_of(seen_task)
    anna = User("anna", roles=[Role.OPERATOR], claims={"team": "noc"})
    assert engine.launch("seen_task", tags=signed(engine.instance, anna)).success
    assert engine.launch("seen_task").success
    assert [(str(one), one.roles, dict(one.claims)) for one in seen] == [
        ("anna", {Role.OPERATOR}, {"team": "noc"}),
        ("SYSTEM", SYSTEM.roles, {}),
    ]


def test_every_mutation_that_names_runs_is_judged_by_them():
    """Also one that a later Dagster brings: its arguments are looked through for ids of runs."""
    fields = checked_schema().graphql_schema.mutation_type.fields
    named = {
        name for name, field in fields.items() if any(_names_runs(key, one.type) for key, one in field.args.items())
    }
    assert {"terminateRun", "terminateRuns", "deleteRun", "launchRunReexecution", "launchRun"} <= named
    assert list(runs_in({"runId": "a", "more": [{"parent_run_id": "b"}, {"runIds": ["c", "d"]}], "name": "e"})) == [
        *"abcd"
    ]


def _names_runs(key: str, kind: Any, depth: int = 0) -> bool:
    named = get_named_type(kind)
    inner = named.fields.items() if is_input_object_type(named) and depth < 4 else ()
    return any(runs_in({key: "x"})) or any(_names_runs(name, one.type, depth + 1) for name, one in inner)
