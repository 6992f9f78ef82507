"""The metrics are valid, complete, those of the whole installation, and cost two statements."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import Gauge, core
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from ops.steps.step import begin, step
from orchestrator_defs.api.rest.monitoring import metrics
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.figures import scrape
from resources.systems import calls
from tests.toy_network import DEVICE, World, device_workflows


@step("Call")
def call():
    with calls.noted("NetBox"):
        pass


@step("Call badly")
def call_badly():
    with calls.noted("NetBox"):
        raise ConnectionError("away")


@task("Calls")
def calling():
    return begin >> call


@task("Calls badly")
def calling_badly():
    return begin >> call_badly


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), calling, calling_badly, products=[DEVICE])


@pytest.fixture
def api(engine, api_of):
    return api_of(engine, enable_prometheus_metrics_endpoint=True)


@pytest.fixture
def device(engine):
    return engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])


def read(api):
    """The samples by name and labels, as Prometheus' own parser reads them."""
    answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def at(found, name, **labels):
    return found.get((name, frozenset(labels.items())))


def test_subscriptions_and_processes_have_the_names_of_the_reference(api, device):
    found = read(api)
    state = {"product_name": "Test Device", "lifecycle_state": "active", "insync": "True"}
    assert at(found, "wfo_subscriptions_count", **state) == 1
    process = {"workflow_name": "create_device", "workflow_target": "CREATE", "is_task": "False"}
    process["last_status"] = "completed"
    assert at(found, "wfo_process_count", **process) == 1
    assert at(found, "wfo_process_seconds_total_count", **process) > 0
    assert at(found, "wfo_engine_status", wfo_engine_status="RUNNING") == 1
    assert at(found, "wfo_active_process_count") == 0


def test_steps_have_a_histogram(api, device):
    found = read(api)
    step_labels = {"workflow_name": "create_device", "step": "construct", "status": "success"}
    assert at(found, "wfo_step_seconds_count", **step_labels) == 1
    assert at(found, "wfo_step_seconds_bucket", **step_labels, le="+Inf") == 1
    assert at(found, "wfo_step_seconds_bucket", **step_labels, le="1800.0") == 1
    assert at(found, "wfo_step_seconds_sum", **step_labels) > 0


def test_external_calls_have_a_histogram_by_outcome_also_of_a_step_that_fails(api, engine):
    calls.take()
    engine.run("calling")
    engine.run("calling")
    engine.run("calling_badly")
    found = read(api)
    assert at(found, "wfo_external_call_seconds_count", system="NetBox", outcome="answered") == 2
    assert at(found, "wfo_external_call_seconds_bucket", system="NetBox", outcome="answered", le="0.005") == 2
    assert at(found, "wfo_external_call_seconds_count", system="NetBox", outcome="refused") == 1


def test_the_queue_is_what_waits_for_a_run(api, engine):
    engine.service.starts.start("calling", {}, user="tester")
    assert at(read(api), "wfo_queue_length") == 1


def test_waits_are_counted_by_age(api, engine):
    process_id = engine.service.starts.start("calling", {}, user="tester")
    with engine.database.transaction() as session:
        wait = "INSERT INTO process_waits (process_id, step_key, kind, created_at) VALUES (:id, 'x', 'input', :at)"
        session.execute(text(wait), {"id": process_id, "at": clock.now() - timedelta(hours=2)})
    found = read(api)
    assert at(found, "wfo_wait_age_seconds_bucket", kind="input", le="3600.0") == 0
    assert at(found, "wfo_wait_age_seconds_bucket", kind="input", le="86400.0") == 1


def test_validations_are_counted_by_result_with_the_oldest_and_the_overdue(api, engine, device):
    with engine.database.transaction() as session:
        session.execute(
            text(
                "UPDATE validations SET result = 'drifted', finished_at = now() - interval '1 day',"
                " due_at = now() - interval '1 hour'"
            )
        )
    found = read(api)
    assert at(found, "wfo_validations_count", product_name="Test Device", result="drifted") == 1
    assert at(found, "wfo_validation_age_seconds", product_name="Test Device") == pytest.approx(86_400, abs=60)
    assert at(found, "wfo_validation_overdue_seconds", product_name="Test Device") == pytest.approx(3_600, abs=60)


def test_what_is_not_validated_yet_has_no_age(api, device):
    found = read(api)
    assert at(found, "wfo_validations_count", product_name="Test Device", result="not_validated") == 1
    assert at(found, "wfo_validation_age_seconds", product_name="Test Device") is None


def test_a_scrape_takes_two_statements(api, device, statements):
    read(api)
    statements.clear()
    read(api)
    assert statements.count == 2


def test_own_metrics_are_shown(api, monkeypatch):
    monkeypatch.setattr(metrics, "_collectors", [])
    gauge = Gauge("crm_customers", "Customers.", registry=None)
    gauge.set(7)
    metrics.add_collector(gauge)
    assert at(read(api), "crm_customers") == 7


def test_they_are_off_unless_the_setting_says_so(engine, api_of):
    answer = api_of(engine).get("/metrics")
    assert answer.status_code == 404
    assert "ENABLE_PROMETHEUS_METRICS_ENDPOINT" in answer.json()["detail"]


DASHBOARD = json.loads((Path(__file__).parents[4] / "deploy" / "grafana.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}


def known():
    """Each name of a sample, with the labels that it may have."""
    families = list(metrics.Engine(core, [], scrape.Present(False, [], {}, {})).collect())
    found = {}
    for family in families:
        labels = set(getattr(family, "_labelnames", ())) | ({family.name} if family.type == "stateset" else set())
        for suffix in SUFFIXES.get(family.type, ("",)):
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_dashboard_has_metrics_and_labels_that_there_are(expression):
    names = set(re.findall(r"wfo_\w+", expression))
    labels = {label for part in re.findall(r"by \(([^)]*)\)", expression) for label in part.split(", ")}
    labels |= set(re.findall(r"(\w+)(?:=~|!=|=)\"", expression))
    assert names
    assert names <= set(known())
    assert labels <= set().union(*(known()[name] for name in names))


def test_the_dashboard_shows_every_metric():
    shown = {name for one in EXPRESSIONS for name in re.findall(r"wfo_\w+", one)}
    missing = {name for name in known() if not any(name.startswith(one.rpartition("_")[0]) for one in shown)}
    assert missing == set()


def test_the_panels_of_the_dashboard_do_not_overlap():
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_bounds_are_those_of_the_database(database):
    just_below = [bound * 0.999 if bound < 10**9 else 10.0**9 for bound in scrape.BOUNDS]
    with database.transaction(read_only=True) as session:
        found = [session.scalar(text("SELECT duration_bound(:x)"), {"x": one}) for one in just_below]
    assert found == list(scrape.BOUNDS)
