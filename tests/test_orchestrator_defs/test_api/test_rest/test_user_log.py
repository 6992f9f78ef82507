"""What clients say goes to the server's log, a line each, with the name of who is logged in."""

import logging

import pytest

from tests.toy_network import DEVICE, World, device_workflows

LOGGER = "orchestrator_defs.api.rest.user_log"


@pytest.fixture
def api(engine_of, api_of, caplog):
    caplog.set_level(logging.INFO, logger=LOGGER)
    return api_of(engine_of(*device_workflows(World()), products=[DEVICE]))


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def test_an_error_is_logged(api, caplog):
    answer = api.post("/user/error", json={"message": "x is undefined"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert lines(caplog) == ['The client of "SYSTEM" reports an error: {"message": "x is undefined"}']
    assert caplog.records[-1].levelname == "ERROR"


def test_who_is_logged_in_is_named_whoever_the_client_says(api, caplog):
    api.post("/user/log/ada", json={"message": "hello"})
    assert lines(caplog) == ['The client of "SYSTEM", as "ada", says: {"message": "hello"}']


def test_nobody_writes_lines_that_are_not_ours(api, caplog):
    api.post("/user/log/root: all is well", json={"message": "a\nb\r\u2028c\x1b[2J"})
    (line,) = lines(caplog)
    assert line.isprintable()
    assert r"a\nb\r\u2028c\u001b[2J" in line


def test_a_line_has_an_end(api, caplog):
    api.post("/user/error", json={"message": "x" * 50_000})
    (line,) = lines(caplog)
    assert len(line) < 10_200
    assert line.endswith("(50015 characters)")


def test_what_is_no_object_is_refused(api):
    for body in (b"[]", b"text", b"null", b""):
        answer = api.post("/user/error", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, body


def test_what_json_can_hardly_say_is_logged(api, caplog):
    body = b'{"\\ud800": NaN}'
    assert api.post("/user/error", content=body, headers={"content-type": "application/json"}).status_code == 200
    assert lines(caplog)[0].endswith(r'{"\ud800": NaN}')
