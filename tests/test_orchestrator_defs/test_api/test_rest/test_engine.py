"""The engine as a whole over HTTP: paused and released, its workers counted, its settings shown."""

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from uuid import UUID

import dagster as dg
import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from ops.steps.step import begin, step
from orchestrator_defs.api.rest import engine as engine_routes
from orchestrator_defs.api.rest import exposed_settings
from orchestrator_defs.api.rest.exposed_settings import MASK, expose_settings
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.processes.process_runs import ProcessRuns
from resources.processes import pause
from resources.runs.dispatch import Dispatch, Loaded
from resources.runs.dispatch_statements import LIVENESS
from resources.settings import settings
from resources.subscriptions.customer_descriptions import create_customer_description
from resources.subscriptions.metadata import write_metadata
from tests.test_resources.test_runs.warm import Warm, configure
from tests.toy_network import DEVICE, World, device_workflows
from tests.waiting import GENEROUS_SECONDS


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), products=[DEVICE])


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


# --- the pause ---


def test_the_status_has_the_three_keys_that_clients_read(api):
    answer = api.get("/settings/status")
    assert answer.status_code == 200
    assert answer.json() == {"global_lock": False, "global_status": "RUNNING", "running_processes": 0}


def test_the_engine_is_paused_and_released(api):
    paused = {"global_lock": True, "global_status": "PAUSED", "running_processes": 0}
    assert api.put("/settings/status", json={"global_lock": True}).json() == paused
    assert api.get("/settings/status").json() == paused
    released = api.put("/settings/status", json={"global_lock": False})
    assert released.json() == {"global_lock": False, "global_status": "RUNNING", "running_processes": 0}


def test_an_engine_with_a_step_in_progress_is_pausing(engine, api):
    process_id = engine.service.starts.start(
        "create_device", [{"product": DEVICE.name}, {"hostname": "ams1"}], user="ada"
    )
    with engine.database.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE processes SET last_status = 'running' WHERE process_id = %s", (process_id,)
        )
    answer = api.put("/settings/status", json={"global_lock": True})
    assert answer.json() == {"global_lock": True, "global_status": "PAUSING", "running_processes": 1}


def test_the_status_takes_two_statements(api, database, statements):
    api.get("/settings/status")
    statements.clear()
    api.get("/settings/status")
    assert statements.count == 2


def test_a_lock_that_is_neither_true_nor_false_is_refused(api):
    for body in ({}, {"global_lock": "yes"}, {"global_lock": None}, {"global_lock": 1}, [], "true"):
        assert api.put("/settings/status", json=body).status_code == 422, body
        assert api.get("/settings/status").json()["global_lock"] is False, body


@pytest.fixture
def stopped(engine_of):
    """An engine whose only process was stopped by the pause, between its steps."""

    @step("Have it paused")
    def have_it_paused():
        pause.set_paused(True, user="ada")

    @step("Go on")
    def go_on():
        return None

    @task("Stopping")
    def stopping():
        return begin >> have_it_paused >> go_on

    engine = engine_of(stopping)
    process_id = engine.run("stopping")
    assert engine.process(process_id).last_status == "waiting"
    return engine, process_id


def test_what_the_pause_stopped_is_launched_after_the_release(stopped, api_of, monkeypatch):
    engine, process_id = stopped
    launched: list[UUID] = []
    done = threading.Event()

    def launch(_service, process_id, *, user):
        launched.append((process_id, user))
        done.set()

    monkeypatch.setattr(ProcessRuns, "launch", launch)
    for module in (engine_routes, engine_routes.launch_all.__globals__):
        name = "launches_to_workers"
        if isinstance(module, dict):
            monkeypatch.setitem(module, name, lambda _: True)
        else:
            monkeypatch.setattr(module, name, lambda _: True)
    assert api_of(engine).put("/settings/status", json={"global_lock": False}).status_code == 200
    assert done.wait(GENEROUS_SECONDS)
    assert launched == [(process_id, "SYSTEM")]


def test_what_the_pause_stopped_is_the_sensors_under_another_launcher(stopped, api_of):
    engine, process_id = stopped
    assert api_of(engine).put("/settings/status", json={"global_lock": False}).status_code == 200
    assert engine.resume(process_id) == "completed"


# --- Slack ---


@pytest.fixture
def slack(monkeypatch):
    """What was sent to a channel; the first line is answered as `answers` says."""
    told: list[bytes] = []
    answers = {"status": 200}

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(answers["status"])
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("SLACK_ENGINE_SETTINGS_HOOK_ENABLED", "true")
        monkeypatch.setenv("SLACK_ENGINE_SETTINGS_HOOK_URL", f"http://127.0.0.1:{server.server_port}/secret-hook")
        settings.cache_clear()
        yield SimpleNamespace(told=told, answers=answers)
        server.shutdown()
        thread.join()
    monkeypatch.undo()
    settings.cache_clear()


def test_slack_is_told_of_a_change_once(api, slack):
    for lock in (True, True, False):
        api.put("/settings/status", json={"global_lock": lock})
    assert slack.told == [
        b'{"text": "The engine was paused by SYSTEM."}',
        b'{"text": "The engine was released by SYSTEM."}',
    ]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/secret-hook", "nonsense", "http://[secret-hook"])
def test_the_engine_is_paused_although_there_is_no_slack(api, slack, caplog, monkeypatch, url):
    monkeypatch.setenv("SLACK_ENGINE_SETTINGS_HOOK_URL", url)
    settings.cache_clear()
    assert api.put("/settings/status", json={"global_lock": True}).status_code == 200
    assert "Slack was not notified" in caplog.text
    assert "secret-hook" not in caplog.text


def test_the_engine_is_paused_although_slack_refuses(api, slack, caplog):
    slack.answers["status"] = 500
    assert api.put("/settings/status", json={"global_lock": True}).json()["global_lock"] is True
    assert "Slack was not notified" in caplog.text
    assert "secret-hook" not in caplog.text


# --- the workers ---

WORKER_KEYS = ["executor_type", "number_of_workers_online", "number_of_queued_jobs", "number_of_running_jobs"]


def test_the_worker_status_has_the_four_keys_that_clients_read(api):
    assert list(api.get("/settings/worker-status").json()) == WORKER_KEYS


def test_workers_of_another_launcher_are_not_counted_but_their_runs_are(engine, dagster_instance, api_of):
    for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.SUCCESS):
        dagster_instance.add_run(dg.DagsterRun(job_name="any", status=status))
    api = api_of(SimpleNamespace(orchestrator=engine.orchestrator, instance=dagster_instance))
    assert api.get("/settings/worker-status").json() == {
        "executor_type": "DefaultRunLauncher",
        "number_of_workers_online": None,
        "number_of_queued_jobs": 1,
        "number_of_running_jobs": 1,
    }


def test_our_workers_and_their_runs_are_counted(engine, dagster_instance, tmp_path, api_of):
    location = configure(tmp_path, start_workers=False)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        dispatch = Dispatch(instance)
        api = api_of(SimpleNamespace(orchestrator=engine.orchestrator, instance=instance))
        assert list(api.get("/settings/worker-status").json().values()) == ["workers", 0, 0, 0]
        Warm(instance, tmp_path, location).launch("ten")
        assert list(api.get("/settings/worker-status").json().values()) == ["workers", 0, 1, 0]
        worker = dispatch.register(Loaded("toys", "", dispatch.now()), "here", 1, os.getpid())
        assert dispatch.claim_directly("another run", worker)
        with dispatch.connect() as session:
            session.execute(f"SELECT pg_advisory_lock({LIVENESS}, {worker})")
            assert list(api.get("/settings/worker-status").json().values()) == ["workers", 1, 1, 1]


# --- caches and the search index ---


def test_caches_have_names(api):
    assert api.get("/settings/cache-names").json() == {"all": "All caches"}


def test_nothing_is_left_in_a_cache(api):
    answer = api.delete("/settings/cache/all")
    assert (answer.status_code, answer.json()) == (200, 0)


def test_a_cache_that_there_is_not_is_404(api):
    assert api.delete("/settings/cache/some").status_code == 404


INDEXED = ("subscriptions", "subscription_metadata", "subscription_customer_descriptions")


@pytest.fixture
def described(engine):
    """Three subscriptions with metadata, and a description of one of them."""
    for name in ("ams1", "ams2", "ams3"):
        process_id = engine.run("create_device", [{"product": DEVICE.name}, {"hostname": name}])
        subscription_id = UUID(engine.of(process_id).row.state["subscription_id"])
        with engine.database.transaction():
            write_metadata(subscription_id, {"rack": {"row": name}})
    with engine.database.transaction():
        create_customer_description(subscription_id, "acme", "Our router")
    return engine


def entries(engine):
    with engine.database.transaction() as session:
        return {
            (table, row.row): row.search
            for table in INDEXED
            for row in session.connection().exec_driver_sql(
                f"SELECT to_jsonb({table}) - 'search' #>> '{{}}' AS row, search::text FROM {table}"
            )
        }


@pytest.mark.parametrize("batch", [2, 500])
def test_the_search_index_is_made_again_as_saves_make_it(described, api, monkeypatch, batch):
    monkeypatch.setattr("resources.subscriptions.search_index.BATCH", batch)
    saved = entries(described)
    assert len(saved) == 7
    assert all(saved.values())
    with described.database.transaction() as session:
        for table in INDEXED:
            session.connection().exec_driver_sql(f"UPDATE {table} SET search = NULL")
        session.connection().exec_driver_sql("UPDATE subscriptions SET search = 'wrong' WHERE insync")
    assert api.post("/settings/search-index/reset").json() == {"subscriptions": 3, "corrected": 7}
    assert entries(described) == saved


def test_a_search_index_that_is_right_is_left_alone(described, api):
    assert api.post("/settings/search-index/reset").json() == {"subscriptions": 3, "corrected": 0}


# --- the settings ---


@pytest.fixture
def nothing_exposed(monkeypatch):
    monkeypatch.setattr(exposed_settings, "_exposed", {})


def overview(api):
    return {
        group["name"]: {one["env_name"]: one["env_value"] for one in group["variables"]}
        for group in api.get("/settings/overview").json()
    }


@pytest.mark.usefixtures("nothing_exposed")
def test_no_setting_is_shown_by_default(api):
    assert api.get("/settings/overview").json() == []


@pytest.mark.usefixtures("nothing_exposed")
def test_settings_are_shown_without_secrets(engine, api_of, monkeypatch):
    monkeypatch.setenv("NETBOX_TOKEN", "hush-netbox")
    monkeypatch.setenv("NETBOX_URL", "https://ada:hush-url@netbox.example/api")
    settings.cache_clear()
    api = api_of(engine, expose_settings=True, session_secret="hush-session-which-is-long-enough-for-anything")
    answer = api.get("/settings/overview")
    assert list(answer.json()[0]) == ["name", "variables"]
    assert list(answer.json()[0]["variables"][0]) == ["env_name", "env_value"]
    shown = overview(api)
    assert shown["engine"]["NETBOX_TOKEN"] == MASK
    assert shown["engine"]["NETBOX_URL"] == f"https://ada:{MASK}@netbox.example/api"
    assert shown["engine"]["TASK_LOG_RETENTION_DAYS"] == 3
    assert shown["server"]["EXPOSE_SETTINGS"] is True
    assert not {name for name in shown["server"] if name.startswith(("OAUTH2", "SESSION"))}
    assert "hush" not in answer.text
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("nothing_exposed")
def test_settings_of_the_login_are_shown_when_asked_for(engine, api_of):
    api = api_of(engine, expose_oauth_settings=True, session_secret="hush-session-which-is-long-enough-for-anything")
    shown = overview(api)
    assert list(shown) == ["login"]
    assert shown["login"]["OAUTH2_ACTIVE"] is False
    assert shown["login"]["SESSION_SECRET"] == MASK


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://ada:hush@db/name", f"postgresql://ada:{MASK}@db/name"),
        ("postgresql://ada:hu/sh@hush@db/name", f"postgresql://ada:{MASK}@db/name"),
        ("redis://:hush@cache", f"redis://:{MASK}@cache"),
        ("postgresql://db/name?user=ada&password=hush&x=1", f"postgresql://db/name?user=ada&password={MASK}&x=1"),
        ("host=db password=hush dbname=name", f"host=db password={MASK} dbname=name"),
        ("http://host:8080/a@b", f"http://host:{MASK}@b"),
        ("http://host:8080/path", "http://host:8080/path"),
    ],
)
@pytest.mark.usefixtures("nothing_exposed")
def test_passwords_in_addresses_are_masked(api, given, shown):
    class Own(BaseSettings):
        place: str = given

    expose_settings("own", Own())
    assert overview(api) == {"own": {"PLACE": shown}}


@pytest.mark.usefixtures("nothing_exposed")
def test_an_organisation_shows_its_own(api):
    class Own(BaseSettings):
        crm_url: str = "https://crm.example"
        crm_password: str = "hush"
        crm_tokens: dict[str, str] = {"a": "hush"}
        systems: list[dict[str, str]] = [{"name": "one", "secret": "hush", "dsn": "redis://:hush@host/0"}]
        key: SecretStr = SecretStr("hush")
        port: int = 8080

    expose_settings("crm", Own())
    assert overview(api) == {
        "crm": {
            "CRM_URL": "https://crm.example",
            "CRM_PASSWORD": MASK,
            "CRM_TOKENS": MASK,
            "SYSTEMS": [{"name": "one", "secret": MASK, "dsn": f"redis://:{MASK}@host/0"}],
            "KEY": MASK,
            "PORT": 8080,
        }
    }
