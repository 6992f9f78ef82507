"""The description of the API says enough to use it by: each operation has words, models, examples and errors."""

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.jobs.orchestrator import Orchestrator

PROVIDER = {"oidc_base_url": "https://login.example.org", "oauth2_resource_server_id": "orchestrator"}
KNOWN_BY_ITSELF = ("example", "examples", "enum", "const", "default")
WITHOUT_ERRORS = {("get", "/api/health/live"), ("get", "/api/login")}
"""What answers everybody, whatever else is wrong."""

DOCUMENT = create_app(ApiSettings(**PROVIDER), Orchestrator((), ())).openapi()
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]


def operation(method: str, path: str) -> Any:
    return DOCUMENT["paths"][path][method]


def contents(answers: dict[str, Any], first: str) -> Iterator[tuple[str, Any]]:
    """The media types and schemas of answers whose status begins so."""
    for status, answer in answers.items():
        if status[0] in first and status not in ("204", "302", "303", "304"):
            yield from answer.get("content", {"none": {}}).items()


def shows_an_example(shape: Any, seen: tuple[str, ...] = ()) -> bool:
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return name not in seen and shows_an_example(DOCUMENT["components"]["schemas"][name], (*seen, name))
    if any(key in shape for key in KNOWN_BY_ITSELF) or shape.get("type") in ("boolean", "null"):
        return True
    parts = [*shape.get("properties", {}).values(), *shape.get("anyOf", []), *filter(None, [shape.get("items")])]
    return shape.get("format") == "uuid" or any(shows_an_example(part, seen) for part in parts)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_it_says_what_it_does(method: str, path: str) -> None:
    assert all(operation(method, path).get(part) for part in ("summary", "description", "tags"))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_its_answers_and_bodies_have_examples(method: str, path: str) -> None:
    found = operation(method, path)
    bodies = [*contents(found["responses"], "2"), *found.get("requestBody", {}).get("content", {}).items()]
    for media, content in bodies:
        assert content, f"{media}: nothing says what it is"
        shown = "example" in content or "examples" in content or shows_an_example(content.get("schema", {}))
        assert shown or not media.endswith("json")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_its_errors_are_problems(method: str, path: str) -> None:
    errors = [media for media, _ in contents(operation(method, path)["responses"], "45")]
    assert errors or (method, path) in WITHOUT_ERRORS
    assert set(errors) <= {"application/problem+json"}
