"""Lists of processes over REST: ranges, order, filters, tags, and that their cost does not grow."""

from uuid import uuid4

import pytest


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


@pytest.fixture
def ids(engine):
    """Three processes in the order of their start: a task that failed, a device, a task that is done."""
    return [
        str(engine.run("fail", user="Ada Jean-Luc")),
        str(engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}], user="bob")),
        str(engine.run("look_around")),
    ]


def listed(api, **query):
    """The ids that a query finds."""
    answer = api.get("/processes/", params=query)
    assert answer.status_code == 200, answer.text
    return [process["process_id"] for process in answer.json()]


# --- ranges and order ---


def test_the_newest_come_first(api, ids):
    assert listed(api) == ids[::-1]


def test_a_range_ends_before_its_second_number(api, ids):
    answer = api.get("/processes/", params={"range": "1,3"})
    assert [process["process_id"] for process in answer.json()] == ids[1::-1]
    assert answer.headers["content-range"] == "processes 1-3/3"


def test_what_was_given_is_said(api, ids):
    said = {"0,2": "0-2/3", "2,10": "2-3/3", "5,9": "5-5/3", "0,0": "0-0/3", "0,999999999999999999": "0-3/3"}
    answers = {asked: api.get("/processes/", params={"range": asked}) for asked in said}
    assert {asked: answer.headers["content-range"] for asked, answer in answers.items()} == {
        asked: f"processes {range_}" for asked, range_ in said.items()
    }


def test_a_range_that_is_none_is_refused(api):
    asked = ("1", "2,1", "a,b", "-1,2", "1,2,3", "0,99999999999999999999", "0,1\0", "\u0660,\u0661")
    answers = [api.get("/processes/", params={"range": one}) for one in asked]
    assert [answer.status_code for answer in answers] == [400] * len(asked)
    assert all("two numbers" in answer.json()["detail"] for answer in answers)


def test_lists_are_sorted_as_asked(api, ids):
    assert listed(api, sort="startedAt,asc") == ids
    assert listed(api, sort="is_task,asc,started_at,desc") == [ids[1], ids[2], ids[0]]
    assert listed(api, sort="workflowName,desc") == [ids[2], ids[0], ids[1]]


REFUSED = (
    ({"sort": "startedAt"}, "1 parts"),
    ({"sort": "colour,asc"}, "they can be sorted by processId"),
    ({"sort": "startedAt,up"}, "'up'"),
    ({"sort": "subscriptionId,asc"}, "they can be sorted by processId"),
    ({"filter": "lastStatus"}, "1 parts"),
    ({"filter": "colour,red"}, "lastStatus"),
    ({"filter": "isTask,perhaps"}, "true or false"),
    ({"filter": "lastStatus,never"}, "is never 'never'; there are created"),
    ({"filter": "startedAt,yesterday"}, "2026-01-31"),
    ({"filter": "startedAt,>9999-12-31"}, "2026-01-31"),
    ({"filter": "note,a\0b"}, "proper text"),
    ({"filter": f"note,{'|'.join(map(str, range(300)))}"}, "at most 200"),
)


def test_what_cannot_be_asked_is_refused_with_what_can(api):
    answers = [(api.get("/processes/", params=query), said) for query, said in REFUSED]
    assert [answer.status_code for answer, _ in answers] == [400] * len(REFUSED)
    assert [(said, answer.json()["detail"]) for answer, said in answers if said not in answer.json()["detail"]] == []


# --- filters ---


FOUND = {
    "lastStatus,failed": [0],
    "status,FAILED-suspended": [0],
    "last_status,failed|completed": [2, 1, 0],
    "lastStatus,!failed": [2, 1],
    "lastStatus,!failed-completed": [],
    "isTask,true": [2, 0],
    "isTask,true,lastStatus,completed": [2],
    "workflowName,CREATE_device": [1],
    "workflow,look_*": [2],
    "workflow,!fail|look_around": [1],
    "target,create": [1],
    "workflowTarget,SYSTEM": [2, 0],
    "createdBy,BOB": [1],
    "createdBy,ada jean-luc": [0],
    "createdBy,!bob": [2, 0],
    "assignee,system": [2, 1, 0],
    "lastStep,Break": [0],
    "lastStep,!Break": [2, 1],
    "note,": [2, 1, 0],
    "note,!x": [2, 1, 0],
    "failedReason,RuntimeError*": [0],
    "product,test device": [1],
    "productTag,DEV": [1],
    "tag,!DEV": [2, 0],
    "productType,device|port": [1],
    "customer,customer": [1],
    "customerId,other": [],
    "subscription,Device ams1": [1],
    "startedAt,>2020-01-01": [2, 1, 0],
    "startedAt,<2020-01-01": [],
    "startedAt,2020-01-01|>=2021-06-01T00:00:00+00:00": [2, 1, 0],
    "lastModifiedAt,>1600000000.5": [2, 1, 0],
    "runId,nothing": [],
    "processId,zz": [],
}
"""Which of the three a filter finds, the newest first."""


def test_lists_are_filtered(api, ids):
    found = {wanted: [ids.index(one) for one in listed(api, filter=wanted)] for wanted in FOUND}
    assert found == FOUND


def test_ids_are_found_by_their_beginning_and_side_by_side(api, ids):
    assert listed(api, filter=f"processId,{ids[0]}") == [ids[0]]
    assert listed(api, filter=f"process_id,{ids[0][:13].upper()}") == [ids[0]]
    assert listed(api, filter=f"processId,{ids[0]}|{ids[2]}") == [ids[2], ids[0]]
    assert listed(api, filter=f"processId,!{ids[0]}|{ids[2]}") == [ids[1]]


def test_processes_are_found_by_their_subscription(api, engine, ids):
    subscription_id = engine.of(ids[1]).subscription_id
    assert listed(api, filter=f"subscriptionId,{subscription_id}") == [ids[1]]
    assert listed(api, filter=f"subscriptionId,!{subscription_id}") == [ids[2], ids[0]]
    assert listed(api, filter=f"subscriptionId,{uuid4()}") == []


def test_a_note_is_found(api, ids):
    api.patch(f"/processes/{ids[2]}", json={"note": "Waits-for Bob"})
    assert listed(api, filter="note,waits-for bob") == [ids[2]]


# --- tags ---


def test_who_has_the_list_already_is_told_so(api, ids):
    for form in ("{tag}", '"other", {tag}', "*"):
        tag = api.get("/processes/").headers["etag"]
        answer = api.get("/processes/", headers={"If-None-Match": form.format(tag=tag)})
        assert (answer.status_code, answer.content) == (304, b""), form
        assert (answer.headers["etag"], answer.headers["content-range"]) == (tag, "processes 0-3/3"), form


def test_when_something_has_changed_the_list_comes(api, ids):
    tag = api.get("/processes/").headers["etag"]
    api.patch(f"/processes/{ids[0]}", json={"note": "x"})
    answer = api.get("/processes/", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer.headers["etag"] != tag


# --- cost ---


def test_a_list_takes_three_statements(api, ids, statements):
    api.get("/processes/")
    statements.clear()
    assert len(api.get("/processes/", params={"filter": "isTask,true|false"}).json()) == 3
    assert statements.count == 3
