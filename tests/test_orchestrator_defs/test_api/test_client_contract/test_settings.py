"""The frame of every page, and the page of settings."""

import pytest

from tests.engine import Engine
from tests.web_client import WebClient


def test_the_engine_runs_in_these_words(ui: WebClient) -> None:
    answer = ui.get("/settings/status")
    assert (answer.status, answer.data) == (
        200,
        {"global_lock": False, "global_status": "RUNNING", "running_processes": 0},
    )


def test_the_engine_is_paused_and_released(ui: WebClient, engine: Engine) -> None:
    try:
        answer = ui.put("/settings/status", {"global_lock": True})
        paused = {"global_lock": True, "global_status": "PAUSED", "running_processes": 0}
        assert (answer.status, answer.data) == (200, paused)
        assert ui.get("/settings/status").data == paused
        refused = ui.post("/processes/look_around", [{}])
        assert (refused.status, type(refused.data["detail"])) == (503, str)
    finally:
        answer = ui.put("/settings/status", {"global_lock": False})
    assert (answer.status, answer.data["global_status"]) == (200, "RUNNING")


def test_the_workers_are_counted(ui: WebClient) -> None:
    answer = ui.get("/settings/worker-status")
    assert answer.status == 200
    assert list(answer.data) == [
        "executor_type",
        "number_of_workers_online",
        "number_of_queued_jobs",
        "number_of_running_jobs",
    ]
    executor, online, *jobs = answer.data.values()
    assert isinstance(executor, str)
    assert online is None or isinstance(online, int)  # the client takes null for 0
    assert all(isinstance(number, int) for number in jobs)


def test_every_cache_that_is_named_can_be_flushed(ui: WebClient) -> None:
    names = ui.get("/settings/cache-names")
    assert (names.status, names.data) == (200, {"all": "All caches"})
    assert [ui.delete(f"/settings/cache/{name}").status for name in names.data] == [200]


def test_an_unknown_cache_is_not_found(ui: WebClient) -> None:
    assert ui.delete("/settings/cache/other").status == 404


def test_the_search_index_is_made_again(ui: WebClient) -> None:
    assert ui.post("/settings/search-index/reset").status == 200


def test_the_settings_are_groups_of_variables(ui: WebClient) -> None:
    answer = ui.get("/settings/overview")
    assert answer.status == 200
    assert answer.data
    assert all(list(group) == ["name", "variables"] for group in answer.data)
    variables = [variable for group in answer.data for variable in group["variables"]]
    assert all(list(variable) == ["env_name", "env_value"] for variable in variables)
    values = {variable["env_name"]: variable["env_value"] for variable in variables}
    assert values["ENVIRONMENT"] == "local"
    assert set(values["WEBSOCKET_BROADCASTER_URL"]) == {"*"}


def test_processes_and_tasks_are_counted_by_status(ui: WebClient, engine: Engine) -> None:
    engine.run("fail")
    answer = ui.get("/processes/status-counts")
    assert (answer.status, list(answer.data)) == (200, ["process_counts", "task_counts"])
    assert answer.data["task_counts"]["failed"] >= 1
    counts = {**answer.data["process_counts"], **answer.data["task_counts"]}
    assert all(status == status.lower() and isinstance(number, int) for status, number in counts.items())


@pytest.mark.parametrize(("locale", "note"), [("en-GB", "Note"), ("nl-NL", "Notitie")])
def test_labels_are_translated(ui: WebClient, locale: str, note: str) -> None:
    answer = ui.get(f"/translations/{locale}")
    assert answer.status == 200
    fields = answer.data["forms"]["fields"]
    assert fields["note"] == note
    assert isinstance(fields["note_info"], str)
    assert all(isinstance(label, str) for label in fields.values())


@pytest.mark.parametrize("locale", ["en-GB", "nl-NL"])
def test_reasons_are_translated(ui: WebClient, locale: str) -> None:
    assert isinstance(ui.get(f"/translations/{locale}").data["subscription"]["not_in_sync"], str)


def test_the_search_page_is_available(ui: WebClient) -> None:
    """A 404 would hide it."""
    assert ui.get("/search/definitions").status == 200


def test_graphql_is_answered_in_json(ui: WebClient) -> None:
    query = {"query": "query Versions { version { applicationVersions } }", "variables": {}}
    answer = ui.post("/graphql", query)
    assert (answer.status, answer.data["data"]["version"]["applicationVersions"][0]) == (200, "compatible-api: 5.5.0")
