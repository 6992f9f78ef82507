"""What a newcomer does in the first ten minutes, in the order of the README."""

import pytest

from tests.test_acceptance.conftest import PROJECT, Project, Webserver
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("newcomer")]


def node(name: str) -> list[dict[str, str]]:
    return [
        {"product": "Node Cisco"},
        {"node_name": name, "site": "Amsterdam", "role": "Provider edge", "device_type": "8201"},
    ]


@pytest.fixture(scope="module")
def first_run(project: Project) -> Project:
    """README command 1, on an empty home."""
    example = PROJECT / "examples" / "create_node.yaml"
    done = project.command("dagster", "job", "execute", "-m", "orchestrator_defs", "-j", "create_node", "-c", example)
    assert done.returncode == 0, done.stderr[-3000:]
    return project


def test_example_creates_a_node(first_run: Project) -> None:
    """The first command of the README leaves a node in service."""
    found = first_run.orchestrator("subscriptions")
    assert [(one["product_name"], one["status"], one["insync"]) for one in found] == [("Node Cisco", "active", True)]


def test_other_input_creates_another_node(first_run: Project) -> None:
    """The job repeated with another name makes a second node."""
    done = first_run.execute("create_node", node("utr9"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Node utr9 Cisco" in {one["description"] for one in first_run.orchestrator("subscriptions")}


def test_bad_input_fails_the_command_with_its_reason(first_run: Project) -> None:
    """The shell says which field, and the exit code is not zero."""
    done = first_run.execute("create_node", [{"product": "Node Cisco"}, {"node_name": "ams7"}])
    assert done.returncode != 0
    assert "site: is required and was not given" in done.stdout + done.stderr


def test_malformed_yaml_is_one_sentence(first_run: Project) -> None:
    """Our own command says what is wrong with a file, without a traceback."""
    broken = first_run.home / "broken.yaml"
    broken.write_text("inputs: [unclosed")
    done = first_run.command("orchestrator", "run", "create_node", "-c", broken)
    assert done.returncode == 1
    assert "is not YAML" in done.stderr
    assert "Traceback" not in done.stderr


def test_unreachable_database_is_one_sentence(first_run: Project) -> None:
    """The message names host and database, not the password."""
    first_run.environment["DATABASE_URI"] = "postgresql://me:hush@127.0.0.1:1/nowhere"
    try:
        done = first_run.command("orchestrator", "subscriptions")
    finally:
        del first_run.environment["DATABASE_URI"]
    assert done.returncode == 1
    assert "nowhere on 127.0.0.1, port 1" in done.stderr
    assert "hush" not in done.stderr
    assert "Traceback" not in done.stderr


def test_dagster_dev_shows_the_runs_of_before(first_run: Project, webserver: Webserver) -> None:
    """What the shell executed is in the UI, with readable steps and their changes of state."""
    runs = webserver.ask("{runsOrError {... on Runs {results {runId jobName status}}}}")["runsOrError"]["results"]
    created = [run for run in runs if run["jobName"] == "create_node" and run["status"] == "SUCCESS"]
    assert created
    events = webserver.ask(EVENTS, {"id": created[-1]["runId"]})["logsForRun"]["events"]
    reported = {event["stepKey"]: {entry["label"] for entry in event["metadataEntries"]} for event in events if event}
    assert "state set" in reported["construct_node"] | reported["start"]


def test_launchpad_launches_to_success(first_run: Project, webserver: Webserver) -> None:
    """A run launched through the webserver creates a node."""
    run_id = webserver.launch("create_node", {"inputs": node("ehv1")})
    assert webserver.outcome(run_id) == "SUCCESS"
    assert "Node ehv1 Cisco" in {one["description"] for one in first_run.orchestrator("subscriptions")}


def test_launchpad_of_a_one_page_form_is_typed(webserver: Webserver) -> None:
    """The config of a validation names its fields and their types."""
    types = webserver.ask(CONFIG_TYPES, {"selector": {**LOCATION, "pipelineName": "validate_node"}})
    fields = {
        field["name"]: field["configType"]["description"] or field["configType"]["__typename"]
        for config in types["runConfigSchemaOrError"]["allConfigTypes"]
        for field in config.get("fields") or []
    }
    assert {"inputs", "subscription_id", "version", "process"} <= set(fields)


def test_reexecution_continues_a_failed_process(first_run: Project, webserver: Webserver) -> None:
    """The button "re-execute from failure" continues from the last committed step once the cause is gone."""
    assert first_run.command("orchestrator", "lab", "fail", "job provision_node").returncode == 0
    run_id = webserver.launch("create_node", {"inputs": node("lon1")})
    assert webserver.outcome(run_id) == "FAILURE"
    assert first_run.command("orchestrator", "lab", "heal").returncode == 0
    again = webserver.reexecute(run_id, "FROM_FAILURE")
    assert webserver.outcome(again) == "SUCCESS"
    steps = first_run.orchestrator("process", "show", run_id)["steps"]
    assert [step["status"] for step in steps[:-1]] == ["success"] * (len(steps) - 1)
    assert [step["attempts"] for step in steps if step["attempts"] > 1] == [2]


def test_reexecution_of_a_finished_process_is_refused(first_run: Project, webserver: Webserver) -> None:
    """The button "re-execute all" on a completed process fails at once and changes nothing."""
    run_id = webserver.launch("create_node", {"inputs": node("lon2")})
    webserver.outcome(run_id)
    before = first_run.orchestrator("subscriptions")
    assert webserver.outcome(webserver.reexecute(run_id, "ALL_STEPS")) == "FAILURE"
    assert first_run.orchestrator("subscriptions") == before


def test_daemon_is_healthy(webserver: Webserver) -> None:
    """`dagster dev` has a daemon that beats."""
    question = "{instance {daemonHealth {allDaemonStatuses {daemonType required healthy}}}}"

    def required_are_healthy() -> bool:
        found = webserver.ask(question)["instance"]["daemonHealth"]["allDaemonStatuses"]
        required = [daemon["healthy"] for daemon in found if daemon["required"]]
        return bool(required) and all(required)

    assert eventually(required_are_healthy, "the daemon's heartbeat")


LOCATION = {"repositoryLocationName": "orchestrator", "repositoryName": "__repository__"}
EVENTS = """query($id: ID!) {logsForRun(runId: $id) {... on EventConnection {events {
  ... on ExecutionStepOutputEvent {stepKey metadataEntries {label}}}}}}"""
CONFIG_TYPES = """query($selector: PipelineSelector!) {runConfigSchemaOrError(selector: $selector) {
  ... on RunConfigSchema {allConfigTypes {
    ... on CompositeConfigType {fields {name configType {__typename description}}}}}}}"""
