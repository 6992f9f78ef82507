"""The description of the API says enough to use it by: each operation has words, models, examples and errors."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.jobs.orchestrator import Orchestrator

PROVIDER = {"oidc_base_url": "https://login.example.org", "oauth2_resource_server_id": "orchestrator"}
KNOWN_BY_ITSELF = ("example", "examples", "enum", "const", "default")
WITHOUT_ERRORS = {"get /api/health/live", "get /api/login"}
"""What answers everybody, whatever else is wrong."""


@cache
def document() -> dict[str, Any]:
    return create_app(ApiSettings(**PROVIDER), Orchestrator((), ())).openapi()


def operations() -> dict[str, Any]:
    """All that can be called, by method and path."""
    found = {f"{method} {path}": one for path, item in document()["paths"].items() for method, one in item.items()}
    assert len(found) > 50
    return found


def contents(answers: dict[str, Any], first: str) -> Iterator[tuple[str, Any]]:
    """The media types and schemas of answers whose status begins so."""
    for status, answer in answers.items():
        if status[0] in first and status not in ("204", "302", "303", "304"):
            yield from answer.get("content", {"none": {}}).items()


def shows_an_example(shape: Any, seen: tuple[str, ...] = ()) -> bool:
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return name not in seen and shows_an_example(document()["components"]["schemas"][name], (*seen, name))
    if any(key in shape for key in KNOWN_BY_ITSELF) or shape.get("type") in ("boolean", "null"):
        return True
    parts = [*shape.get("properties", {}).values(), *shape.get("anyOf", []), *filter(None, [shape.get("items")])]
    return shape.get("format") == "uuid" or any(shows_an_example(part, seen) for part in parts)


def test_every_operation_says_what_it_does() -> None:
    parts = ("summary", "description", "tags")
    assert [name for name, found in operations().items() if not all(found.get(part) for part in parts)] == []


def test_all_answers_and_bodies_have_examples() -> None:
    without = []
    for name, found in operations().items():
        bodies = [*contents(found["responses"], "2"), *found.get("requestBody", {}).get("content", {}).items()]
        for media, content in bodies:
            shown = "example" in content or "examples" in content or shows_an_example(content.get("schema", {}))
            if not content or (media.endswith("json") and not shown):
                without.append(f"{name}: {media}")
    assert without == []


def test_all_errors_are_problems() -> None:
    others = []
    for name, found in operations().items():
        errors = {media for media, _ in contents(found["responses"], "45")}
        if errors != {"application/problem+json"} and not (name in WITHOUT_ERRORS and not errors):
            others.append(f"{name}: {errors or 'no error'}")
    assert others == []
