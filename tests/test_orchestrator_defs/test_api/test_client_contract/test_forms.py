"""Starting workflows, page by page: the protocol of forms, and the JSON Schema of their fields."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from resources.subscriptions.queries import find_product
from resources.types import ProcessStatus
from tests.engine import Engine
from tests.test_orchestrator_defs.test_api.test_client_contract.workflows import SUMMARY
from tests.toy_network import DEVICE
from tests.web_client import WebClient


@pytest.fixture
def product_id(engine: Engine) -> str:
    """What the client knows a product by."""
    with engine.database.transaction(read_only=True):
        return str(find_product(DEVICE.name).product_id)


@pytest.fixture(scope="module")
def form(ui: WebClient) -> dict[str, Any]:
    """The page with every kind of field."""
    answer = ui.post("/processes/every_field", [])
    assert answer.status == 510
    found: dict[str, Any] = answer.data["form"]
    return found


@pytest.fixture(scope="module")
def fields(form: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its fields by name."""
    found: dict[str, dict[str, Any]] = form["properties"]
    return found


# --- the protocol ---


def test_a_subscription_is_created_page_by_page(ui: WebClient, engine: Engine, product_id: str) -> None:
    start = {"product": product_id}
    asked = ui.post("/processes/create_device", [start])
    assert asked.status == 510
    assert list(asked.data) == ["type", "title", "status", "detail", "form", "meta"]
    assert asked.data["status"] == 510
    assert asked.data["meta"] == {"hasNext": False}
    assert list(asked.data["form"]["properties"]) == ["hostname", "customer_id", "password"]

    refused = ui.post("/processes/create_device", [start, {"hostname": "A"}])
    assert refused.status == 400
    assert [error["loc"] for error in refused.data["validation_errors"]] == [["hostname"]]

    started = ui.post("/processes/create_device", [start, {"hostname": "ams1", "customer_id": "acme"}])
    assert (started.status, list(started.data)) == (201, ["id"])
    assert engine.resume(UUID(started.data["id"])) is ProcessStatus.COMPLETED


def test_a_form_asks_its_next_page_after_one_that_is_valid(ui: WebClient) -> None:
    pages: list[dict[str, Any]] = []
    assert ui.post("/processes/build_rack", pages).data["meta"] == {"hasNext": True}
    assert ui.post("/processes/build_rack", [{"site": "a"}]).status == 400
    asked = ui.post("/processes/build_rack", [{"site": "ams"}])
    assert (asked.status, asked.data["meta"]) == (510, {"hasNext": False})
    assert list(asked.data["form"]["properties"]) == ["rack", "password"]
    assert ui.post("/processes/build_rack", [{"site": "ams"}, {"rack": 1}]).status == 201


def test_an_error_of_a_field_is_said_at_the_field(ui: WebClient) -> None:
    answer = ui.post("/processes/build_rack", [{"site": "a"}])
    (error,) = answer.data["validation_errors"]
    assert isinstance(error.pop("url"), str)
    assert error == {
        "type": "string_too_short",
        "loc": ["site"],
        "msg": "String should have at least 2 characters",
        "input": "a",
        "ctx": {"min_length": 2},
    }
    assert answer.data["status"] == 400


def test_every_form_that_is_not_valid_has_an_error_to_show(ui: WebClient) -> None:
    answer = ui.post("/processes/build_rack", [{"site": "ams"}, {"rack": 1}, {}])
    assert answer.status == 400
    assert [error["loc"] for error in answer.data["validation_errors"]] == [["__root__"]]


def test_a_task_without_fields_is_confirmed_on_an_empty_page(ui: WebClient) -> None:
    asked = ui.post("/processes/look_around", [])
    assert (asked.status, asked.data["form"]["properties"], asked.data["meta"]) == (510, {}, {"hasNext": False})
    assert ui.post("/processes/look_around", [{}]).status == 201


def test_what_stands_in_the_way_is_a_sentence(ui: WebClient) -> None:
    assert ui.post("/processes/one_at_a_time", [{}]).status == 201
    answer = ui.post("/processes/one_at_a_time", [{}])
    assert (answer.status, answer.data["status"]) == (412, 412)
    assert isinstance(answer.data["detail"], str)


def test_an_unknown_workflow_is_not_found(ui: WebClient) -> None:
    assert ui.post("/processes/no_such_thing", []).status == 404


@pytest.mark.parametrize("workflow", ["validate_device", "reconcile_device"])
def test_checks_of_a_subscription_start_without_asking(
    ui: WebClient, engine: Engine, device: Callable[[], str], workflow: str
) -> None:
    started = ui.post(f"/processes/{workflow}", [{"subscription_id": device()}])
    assert (started.status, list(started.data)) == (201, ["id"])
    assert engine.resume(UUID(started.data["id"])) is ProcessStatus.COMPLETED


def test_a_subscription_is_changed_by_a_form_that_knows_it(ui: WebClient, device: Callable[[], str]) -> None:
    start = {"subscription_id": device()}
    asked = ui.post("/processes/modify_device", [start])
    assert asked.status == 510
    assert asked.data["form"]["properties"]["hostname"]["default"].startswith("d")
    assert ui.post("/processes/modify_device", [start, {"hostname": "ams2"}]).status == 201


def test_a_note_is_written_in_place(ui: WebClient, engine: Engine, device: Callable[[], str]) -> None:
    subscription_id = device()
    started = ui.post("/processes/modify_note", [{"subscription_id": subscription_id}, {"note": "Mind the dog"}])
    assert (started.status, list(started.data)) == (201, ["id"])
    assert engine.resume(UUID(started.data["id"])) is ProcessStatus.COMPLETED
    assert ui.get(f"/subscriptions/{subscription_id}").data["note"] == "Mind the dog"


# --- the schema ---


def test_a_page_is_an_object_with_a_heading(form: dict[str, Any]) -> None:
    assert (form["type"], form["title"]) == ("object", "Every field")
    assert set(form["required"]) == {"name", "colours", "ports", "moment", "size"}


def test_references_lead_to_definitions_with_labels(form: dict[str, Any], fields: dict[str, Any]) -> None:
    assert fields["colour"] == {"$ref": "#/$defs/Colour", "default": "red"}
    colour = form["$defs"]["Colour"]
    assert colour["type"] == "string"
    assert colour["enum"] == ["red", "blue"]
    assert colour["options"] == {"red": "Red", "blue": "Blue"}


def test_text_has_its_limits_and_its_words(fields: dict[str, Any]) -> None:
    assert fields["name"] == {
        "type": "string",
        "title": "Its name",
        "description": "what it is called",
        "minLength": 2,
        "maxLength": 20,
        "pattern": "^[a-z]+$",
    }


def test_a_list_has_its_limits(fields: dict[str, Any]) -> None:
    colours = fields["colours"]
    assert (colours["type"], colours["items"]) == ("array", {"$ref": "#/$defs/Colour"})
    assert (colours["minItems"], colours["maxItems"], colours["uniqueItems"]) == (1, 2, True)
    assert (fields["ports"]["items"], fields["ports"]["uniqueItems"]) == ({"type": "integer"}, True)


def test_a_number_has_its_limits(fields: dict[str, Any]) -> None:
    size = fields["size"]
    assert (size["type"], size["minimum"], size["maximum"], size["multipleOf"]) == ("integer", 1, 10, 2)


def test_what_may_be_empty_is_any_of_it_and_null(fields: dict[str, Any]) -> None:
    assert fields["perhaps"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert fields["perhaps"]["default"] is None


@pytest.mark.parametrize(
    ("field", "kind", "form_of_it"),
    [
        ("story", "string", "long"),
        ("label", "string", "label"),
        ("divider", "string", "divider"),
        ("text", "string", "markdown"),
        ("summary", "string", "summary"),
        ("warning", "string", "callout"),
        ("hidden", "string", "hidden"),
        ("moment", "number", "timestamp"),
        ("password", "string", "password"),
    ],
)
def test_a_field_is_drawn_by_type_and_format(fields: dict[str, Any], field: str, kind: str, form_of_it: str) -> None:
    assert (fields[field]["type"], fields[field]["format"]) == (kind, form_of_it)


def test_what_cannot_be_changed_is_constant(fields: dict[str, Any]) -> None:
    fixed = fields["fixed"]
    assert (fixed["const"], fixed["default"], fixed["readOnly"]) == ("as it is", "as it is", True)
    assert fixed["uniforms"]["disabled"] is True


def test_the_table_of_a_summary_is_where_the_client_looks(fields: dict[str, Any]) -> None:
    assert fields["summary"]["uniforms"]["data"] == SUMMARY


def test_what_is_only_read_comes_as_the_default(fields: dict[str, Any]) -> None:
    """The client takes that of a callout apart without asking whether it is there."""
    box = {"header": "Mind", "message": "the gap", "icon_type": "info", "message_type": "primary"}
    assert fields["warning"]["default"] == box
    assert fields["text"]["default"] == {"content": "# Read this", "color": "primary"}


def test_a_moment_says_how_it_is_picked(fields: dict[str, Any]) -> None:
    """The client takes `uniforms` apart without asking whether they are there."""
    assert list(fields["moment"]["uniforms"]) == [
        "dateFormat",
        "locale",
        "max",
        "min",
        "showTimeSelect",
        "timeFormat",
    ]


def test_older_and_newer_clients_read_the_same_of_a_field(fields: dict[str, Any]) -> None:
    told = {name: field for name, field in fields.items() if "extraProperties" in field or "uniforms" in field}
    assert set(told) >= {"summary", "moment", "fixed"}
    assert all(field["uniforms"] == field["extraProperties"] for field in told.values())
