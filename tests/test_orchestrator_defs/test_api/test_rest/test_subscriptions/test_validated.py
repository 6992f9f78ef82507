"""Lists of subscriptions by their newest validation: its result, its moment and its age."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.drift import write_result
from tests.toy_network import add_device

NOW = datetime.now(UTC)
AGES = {
    "new1": ("passed", timedelta(minutes=5)),
    "day2": ("drifted", timedelta(hours=30)),
    "old3": ("passed", timedelta(days=9)),
}


@pytest.fixture
def devices(engine):
    """Devices whose newest results have several ages, and one that was never validated."""
    made = {name: str(add_device(engine.bed, hostname=name)) for name in (*AGES, "never4")}
    for name, (result, age) in AGES.items():
        write_result(engine.database, made[name], result, finished_at=NOW - age)
    return made


def listed(api, path="/subscriptions/", **params):
    answer = api.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return [item["description"].removeprefix("Device ") for item in answer.json()]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("validationResult,drifted", {"day2"}),
        ("validation_result,!passed", {"day2", "never4"}),
        ("validationResult,passed-drifted", {"new1", "day2", "old3"}),
        ("lastValidated,<TWO_DAYS_AGO", {"old3"}),
        ("validationAge,>24h", {"day2", "old3"}),
        ("validationAge,<=2d", {"new1", "day2"}),
        ("validationAge,>999999999w", set()),
    ],
)
def test_lists_are_filtered_by_result_moment_and_age(api, devices, filter_, found):
    moment = f"{NOW - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"  # not a parameter: workers must collect the same tests
    assert set(listed(api, filter=filter_.replace("TWO_DAYS_AGO", moment))) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("validation.result:drifted", {"day2"}),
        ("validation:drif", {"day2"}),
        ("-validation_result:passed", {"day2", "never4"}),
        ("validated_at<2020-01-01", set()),
        ("validation_age>24h validation_result:passed", {"old3"}),
        ("validation_age:1d..8d", {"day2"}),
        ("last_validated=*", {"new1", "day2", "old3"}),
    ],
)
def test_searches_know_result_moment_and_age(api, devices, query, found):
    assert set(listed(api, query=query)) == found


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("lastValidated,asc", ["old3", "day2", "new1", "never4"]),
        ("lastValidated,desc", ["new1", "day2", "old3", "never4"]),
        ("validationAge,asc", ["new1", "day2", "old3", "never4"]),
        ("validationAge,desc", ["old3", "day2", "new1", "never4"]),
    ],
)
def test_lists_are_sorted_by_moment_and_age_and_what_was_never_validated_is_last(api, devices, sort, order):
    assert listed(api, sort=sort) == order
    assert listed(api, sort=sort, filter="validationResult,passed") == [one for one in order if one in ("new1", "old3")]


def test_items_of_lists_have_result_moment_and_age(api, devices):
    item = api.get(f"/subscriptions/{devices['day2']}").json()
    assert (item["validation_result"], item["last_validated"]) == ("drifted", (NOW - AGES["day2"][1]).timestamp())
    assert 0 <= item["validation_age"] - AGES["day2"][1].total_seconds() < 600
    never = api.get(f"/subscriptions/{devices['never4']}").json()
    assert [never[name] for name in ("validation_result", "last_validated", "validation_age")] == [None] * 3


def test_a_validation_alone_makes_no_other_view_of_a_subscription(engine, api, devices):
    path = f"/subscriptions/domain-model/{devices['new1']}"
    tag = api.get(path).headers["ETag"]
    write_result(engine.database, devices["new1"], "passed")
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert "last_validated" not in api.get(path).json()


@pytest.mark.parametrize("text", ["24x", "-3h", "", "a day"])
def test_an_age_that_is_none_is_refused_with_an_example(api, text):
    answer = api.get("/subscriptions/", params={"filter": f"validationAge,>{text}"})
    assert (answer.status_code, "as `validation_age>24h`" in answer.json()["detail"]) == (400, True)


def test_a_result_that_does_not_exist_is_refused_with_those_that_do(api):
    detail = api.get("/subscriptions/", params={"query": "validation_result:drifting"}).json()["detail"]
    assert "passed, drifted, unreachable, failed" in detail


def test_searches_show_moment_and_age_in_columns(api, devices):
    columns = ["subscription.last_validated", "subscription.validation_result", "subscription.validation_age"]
    asked = {"query": "day2", "response_columns": columns, "order_by": {"element": columns[2], "direction": "desc"}}
    (hit,) = api.post("/search/subscriptions", json=asked).json()["data"]
    shown = hit["response_columns"]
    assert shown[columns[1]] == "drifted"
    assert float(shown[columns[2]]) == pytest.approx(AGES["day2"][1].total_seconds(), abs=600)


def test_searches_go_on_behind_the_last_age(api, devices):
    asked = {"query": "Device", "limit": 1, "order_by": {"element": "subscription.validation_age", "direction": "desc"}}
    found, cursor = [], ""
    for _ in devices:
        answer = api.post("/search/subscriptions", json=asked, params={"cursor": cursor} if cursor else {}).json()
        found += [hit["entity_title"].removeprefix("Device ") for hit in answer["data"]]
        cursor = answer["page_info"]["next_page_cursor"]
    assert found == ["old3", "day2", "new1", "never4"]
