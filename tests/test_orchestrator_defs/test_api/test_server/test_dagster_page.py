"""Dagster's page behind the middleware: engineers work in it under their own name, others look."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from dagster import DagsterInstance
from graphql import (
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    build_client_schema,
    get_introspection_query,
    get_named_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
)
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ops.starting.permission import least_roles
from orchestrator_defs.api import dagster_page
from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.dagster_page import NOT_BY_GET, NOT_ENGINEER, DagsterPage, Webserver
from orchestrator_defs.api.security.graphql_limits import Limits
from orchestrator_defs.api.server_settings import ApiSettings
from resources import tags
from resources.errors import SettingsError
from resources.users import Role, User
from tests.api import calling, serving
from tests.test_orchestrator_defs.test_api.conftest import RunningPage
from tests.toy_network import DEVICE, World, device_workflows

pytestmark = pytest.mark.xdist_group("dagster page")

REPOSITORY = {"repositoryLocationName": "code.py", "repositoryName": "__repository__"}
FORGED = [{"key": tags.USER, "value": "the boss"}, {"key": "color", "value": "blue"}]
OF_DAGSTER_PLUS = {"setAppManagedComponent", "deleteAppManagedComponent"}
"""Mutations that Dagster refuses to everybody who has not bought them."""


class Named:
    """In the place of the middleware: the user is who a header says."""

    def __init__(self, app: ASGIApp, roles: Mapping[str, Role] | None = None) -> None:
        self.app = app
        self.roles = roles or {"kept": Role.ADMIN}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        role = dict(scope.get("headers", ())).get(b"x-role", b"").decode()
        user = User("anna", roles=[Role(role)] if role else [])
        with least_roles(self.roles):
            await self.app({**scope, "user": user}, receive, send)


@dataclass
class Site:
    """A served page and the instance behind it."""

    client: httpx.Client
    instance: DagsterInstance
    schema: GraphQLSchema

    def post(self, path: str, role: Role | None, **body: Any) -> httpx.Response:
        headers = {} if role is None else {"x-role": role}
        return self.client.post(path, headers=headers, json=body)

    def ask(self, role: Role, query: str, **variables: Any) -> Any:
        answer = self.post("/graphql", role, query=query, variables=variables).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def tags_of(self, run_id: str) -> Any:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.tags


@pytest.fixture(scope="module")
def site(running_page: RunningPage) -> Iterator[Site]:
    app = Starlette()
    app.router.default = running_page.page
    with calling(Named(app), serving) as client:
        asked = client.post("/graphql", headers={"x-role": "viewer"}, json={"query": get_introspection_query()})
        yield Site(client, running_page.instance, build_client_schema(asked.json()["data"]))


def mutations() -> list[str]:
    schema = Webserver.build_graphql_schema(object.__new__(Webserver)).graphql_schema
    return sorted(schema.mutation_type.fields)


def call_of(schema: GraphQLSchema, name: str) -> str:
    """The mutation with the least that it takes."""
    assert schema.mutation_type is not None
    field = schema.mutation_type.fields[name]
    given = ", ".join(f"{key}: {_least(one.type)}" for key, one in field.args.items() if _is_required(one.type))
    selection = " {__typename}" if is_composite_type(get_named_type(field.type)) else ""
    return f"{name}{f'({given})' if given else ''}{selection}"


def _is_required(kind: Any) -> bool:
    return isinstance(kind, GraphQLNonNull)


def _least(kind: Any) -> str:
    kind = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if isinstance(kind, GraphQLList):
        return "[]"
    if isinstance(kind, GraphQLInputObjectType):
        fields = (
            f"{key}: {json.dumps(REPOSITORY[key]) if key in REPOSITORY else _least(one.type)}"
            for key, one in kind.fields.items()
            if _is_required(one.type)
        )
        return f"{{{', '.join(fields)}}}"
    if is_enum_type(kind):
        return str(next(iter(kind.values)))
    return {"Int": "1", "Float": "1.0", "Boolean": "false"}.get(kind.name, '"none"')


# --- who may what ---


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_those_who_look_may_send_no_mutation(site: Site, role: Role) -> None:
    for name in mutations():
        answer = site.post("/graphql", role, query=f"mutation {{{call_of(site.schema, name)}}}")
        assert answer.status_code == 403, name
        assert [error["message"] for error in answer.json()["errors"]] == [NOT_ENGINEER], name
        assert "errorInfo" not in answer.json()["errors"][0]["extensions"], name


def test_an_engineer_is_refused_no_mutation(site: Site) -> None:
    for name in mutations():
        answer = site.post("/graphql", Role.ENGINEER, query=f"mutation {{{call_of(site.schema, name)}}}")
        assert answer.status_code != 403, name
        assert NOT_ENGINEER not in answer.text, name
        assert ("UnauthorizedError" in answer.text) == (name in OF_DAGSTER_PLUS), name


def test_a_query_that_asks_for_too_much_is_refused_in_a_sentence(site: Site) -> None:
    query = "{" + " ".join(f"a{number}: version" for number in range(300)) + "}"
    answer = site.post("/graphql", Role.VIEWER, query=query)
    sentence = "The query has 300 aliases; the limit is 30. Ask for less at once."
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (400, sentence)
    with websocket(site, Role.VIEWER) as socket:
        socket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
        assert json.loads(socket.recv(timeout=60))["payload"]["message"] == sentence


def test_a_query_that_takes_too_long_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster_page, "LIMITS", Limits(seconds=-1))
    answer = site.post("/graphql", Role.VIEWER, query="{version}")
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (
        503,
        "The query took longer than -1 seconds. Ask for less at once.",
    )


@pytest.mark.parametrize("query", [1, "{" * 5000, "{", ["version"]])
def test_what_is_no_query_is_a_400(site: Site, query: Any) -> None:
    assert site.post("/graphql", Role.VIEWER, query=query).status_code == 400


def test_no_mutation_comes_in_over_the_websocket(site: Site) -> None:
    for role, message in ((Role.VIEWER, NOT_ENGINEER), (Role.ENGINEER, "is not defined")):
        with websocket(site, role) as socket:
            for name in mutations():
                query = f"mutation {{{call_of(site.schema, name)}}}"
                socket.send(json.dumps({"type": "start", "id": name, "payload": {"query": query}}))
                answer = json.loads(socket.recv(timeout=60))
                assert (answer["type"], answer["id"]) == ("error", name)
                assert message in answer["payload"]["message"]


def websocket(site: Site, role: str) -> ClientConnection:
    address = str(site.client.base_url).replace("http", "ws") + "/graphql"
    return connect(address, additional_headers={"x-role": role}, subprotocols=[Subprotocol("graphql-ws")])


def test_a_mutation_in_a_fragment_under_another_name_is_refused(site: Site) -> None:
    query = "mutation {... on Mutation {harmless: reloadWorkspace {__typename}}}"
    assert site.post("/graphql", Role.VIEWER, query=query).status_code == 403


def test_a_link_changes_nothing(site: Site) -> None:
    query = {"query": "mutation {setNuxSeen}"}
    answer = site.client.get("/graphql", params=query, headers={"x-role": "admin"})
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["message"] == NOT_BY_GET


def test_the_page_of_a_viewer_hides_its_buttons(site: Site) -> None:
    query = "{permissions {permission value}}"
    of_viewer = site.ask(Role.VIEWER, query)["permissions"]
    assert [one for one in of_viewer if one["value"]] == []
    assert {"permission": "launch_pipeline_execution", "value": True} in site.ask(Role.ENGINEER, query)["permissions"]


def test_events_of_assets_are_reported_by_engineers(site: Site) -> None:
    for path in ("report_asset_materialization", "report_asset_observation", "report_asset_check"):
        assert site.post(f"/{path}/a", Role.VIEWER).status_code == 403
    assert site.post("/report_asset_materialization/a", Role.ENGINEER).status_code == 200


def test_without_a_role_the_page_is_closed(site: Site) -> None:
    for path in ("/", "/server_info", "/runs", "/logs/x", "/download_debug/x"):
        assert site.client.get(path).status_code == 403
    assert site.post("/graphql", None, query="{version}").status_code == 403
    with pytest.raises(InvalidStatus), websocket(site, ""):
        pass


def test_the_configuration_of_the_instance_is_for_admins(site: Site) -> None:
    query = "{instance {info}}"
    assert site.ask(Role.ENGINEER, query)["instance"]["info"] is None
    assert "QueuedRunCoordinator" in site.ask(Role.ADMIN, query)["instance"]["info"]


# --- under whose name ---

RUN = "... on LaunchRunSuccess {run {runId}} ... on PythonError {message}"


def execution(**metadata: Any) -> dict[str, Any]:
    return {
        "selector": {**REPOSITORY, "jobName": "plain"},
        "runConfigData": "{}",
        "executionMetadata": {"tags": FORGED, **metadata},
    }


def launch(site: Site) -> str:
    query = f"mutation($p: ExecutionParams!) {{launchRun(executionParams: $p) {{{RUN}}}}}"
    return str(site.ask(Role.ENGINEER, query, p=execution())["launchRun"]["run"]["runId"])


def launch_runs(site: Site) -> list[str]:
    query = f"""mutation($p: [ExecutionParams!]!) {{launchMultipleRuns(executionParamsList: $p) {{
        ... on LaunchMultipleRunsResult {{launchMultipleRunsResult {{{RUN}}}}}}}}}"""
    found = site.ask(Role.ENGINEER, query, p=[execution(), execution()])["launchMultipleRuns"]
    return [one["run"]["runId"] for one in found["launchMultipleRunsResult"]]


def relaunch_by_parameters(site: Site) -> str:
    first = launch(site)
    query = f"mutation($p: ExecutionParams!) {{launchRunReexecution(executionParams: $p) {{{RUN}}}}}"
    found = site.ask(Role.ENGINEER, query, p=execution(rootRunId=first, parentRunId=first))
    return str(found["launchRunReexecution"]["run"]["runId"])


def relaunch_of_anothers(site: Site) -> str:
    first = launch(site)
    site.instance.add_run_tags(first, {tags.USER: "the boss"})
    query = f"mutation($p: ReexecutionParams!) {{launchRunReexecution(reexecutionParams: $p) {{{RUN}}}}}"
    parameters = {"parentRunId": first, "strategy": "ALL_STEPS", "extraTags": FORGED}
    return str(site.ask(Role.ENGINEER, query, p=parameters)["launchRunReexecution"]["run"]["runId"])


def backfill(site: Site, **more: Any) -> Any:
    query = """mutation($p: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $p) {
        ... on LaunchBackfillSuccess {backfillId launchedRunIds} ... on PythonError {message}}}"""
    where = {
        "partitionSetName": "parted_partition_set",
        "repositorySelector": REPOSITORY,
    }
    parameters = {"selector": where, "partitionNames": ["a"], "tags": FORGED, **more}
    return site.ask(Role.ENGINEER, query, p=parameters)["launchPartitionBackfill"]


def test_a_run_is_launched_under_the_name_of_the_login(site: Site) -> None:
    runs = [launch(site), *launch_runs(site), relaunch_by_parameters(site), relaunch_of_anothers(site)]
    for run_id in runs:
        assert site.tags_of(run_id)[tags.USER] == "anna"
        assert site.tags_of(run_id)["color"] == "blue"


def test_a_job_with_a_least_role_is_launched_by_nobody_below_it(site: Site) -> None:
    query = """mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {
        ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""
    parameters = execution() | {"selector": {**REPOSITORY, "jobName": "kept"}}
    refused = site.ask(Role.ENGINEER, query, p=parameters)["launchRun"]
    assert "anna may not launch kept: that needs the role admin" in refused["message"]
    assert "run" in site.ask(Role.ADMIN, query, p=parameters)["launchRun"]


@pytest.mark.parametrize(
    ("role", "assets", "answer"),
    [
        (Role.ENGINEER, [], "runId"),
        (Role.ENGINEER, [{"path": ["made"]}], "needs the role admin"),
        (Role.ADMIN, [{"path": ["made"]}], "runId"),
        (Role.OPERATOR, [], "takes the role engineer"),
    ],
)
def test_checks_alone_are_executed_without_the_role_of_a_workflow(
    running_page: RunningPage, role: Role, assets: Any, answer: str
) -> None:
    """An asset made in the same run asks for it, as any job does."""
    app = Starlette()
    app.router.default = running_page.page
    query = f"mutation($p: ExecutionParams!) {{launchRun(executionParams: $p) {{{RUN}}}}}"
    checks = [{"assetKey": {"path": ["made"]}, "name": "fits"}]
    selector = {**REPOSITORY, "jobName": "__ASSET_JOB", "assetSelection": assets, "assetCheckSelection": checks}
    body = {"query": query, "variables": {"p": {"selector": selector, "runConfigData": "{}"}}}
    with calling(Named(app, {"*": Role.ADMIN}), serving) as client:
        assert answer in client.post("/graphql", headers={"x-role": role}, json=body).text


def test_a_backfill_is_launched_under_the_name_of_the_login(site: Site) -> None:
    (run_id,) = backfill(site, forceSynchronousSubmission=True)["launchedRunIds"]
    assert site.tags_of(run_id)[tags.USER] == "anna"
    requested = site.instance.get_backfill(backfill(site)["backfillId"])
    assert requested is not None
    assert requested.tags[tags.USER] == "anna"


def test_a_repeated_backfill_is_of_who_repeats_it(site: Site) -> None:
    first = site.instance.get_backfill(backfill(site)["backfillId"])
    assert first is not None
    site.instance.update_backfill(
        first._replace(tags={**first.tags, tags.USER: "the boss"}, status=type(first.status).COMPLETED_SUCCESS)
    )
    query = """mutation($p: ReexecutionParams!) {reexecutePartitionBackfill(reexecutionParams: $p) {
        ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""
    parameters = {"parentRunId": first.backfill_id, "strategy": "ALL_STEPS"}
    again = site.ask(Role.ENGINEER, query, p=parameters)["reexecutePartitionBackfill"]["backfillId"]
    repeated = site.instance.get_backfill(again)
    assert repeated is not None
    assert repeated.tags[tags.USER] == "anna"


def test_these_are_all_the_mutations_that_take_tags(site: Site) -> None:
    """Should Dagster get another, it belongs into the tests above."""
    assert site.schema.mutation_type is not None
    fields = site.schema.mutation_type.fields.items()
    assert {name for name, field in fields if any(_takes_tags(one.type) for one in field.args.values())} == {
        *("launchRun", "launchPipelineExecution", "launchMultipleRuns"),
        *("launchRunReexecution", "launchPipelineReexecution"),
        *("launchPartitionBackfill", "reexecutePartitionBackfill"),
    }


def _takes_tags(kind: Any) -> bool:
    named = get_named_type(kind)
    if named.name == "ExecutionTag":
        return True
    return is_input_object_type(named) and any(_takes_tags(one.type) for one in named.fields.values())


def test_a_reload_keeps_the_rights_of_who_asked(site: Site) -> None:
    query = """mutation {reloadRepositoryLocation(repositoryLocationName: "code.py") {
        ... on WorkspaceLocationEntry {loadStatus permissions {value}}}}"""
    entry = site.ask(Role.ENGINEER, query)["reloadRepositoryLocation"]
    assert entry["loadStatus"] == "LOADED"
    assert any(one["value"] for one in entry["permissions"])
    assert launch(site)


# --- beside the API ---


def test_routes_win_over_the_page_in_whatever_order(engine_of, dagster_instance, tmp_path: Path) -> None:
    engine = engine_of(*device_workflows(World()), products=[DEVICE])
    (tmp_path / "workspace.yaml").write_text("load_from: []")
    page = DagsterPage(str(tmp_path / "workspace.yaml"))
    app = create_app(ApiSettings(oauth2_active=False), engine.orchestrator, instance=dagster_instance, page=page)
    app.get("/own")(lambda: "ours")
    with calling(app) as client:
        assert client.get("/own").json() == "ours"
        assert client.get("/api/nothing").json()["status"] == 404
        assert "<!DOCTYPE html>" in client.get("/runs").text
        assert "dagster_version" in client.get("/server_info").json()


def test_a_prefix_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(SettingsError, match="begins with a slash"):
        DagsterPage("workspace.yaml", path_prefix="orchestrator/")
