"""The pages that describe the API; they load nothing from other networks."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from orchestrator_defs.api.security.access_rules import Open, Rule, RuleBook
from orchestrator_defs.api.security.problems import MEDIA_TYPE, title_of

ASSETS = "/docs/assets"
PLACE = re.compile(r"\{[^}]*\}")
ANY_PART = "00000000-0000-4000-8000-000000000000"
"""Matches any part of a path in rules."""
SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI, prefix: str) -> None:
    """Serve Swagger UI and ReDoc, with their scripts, under a prefix. Call it before anything is mounted there."""
    assets = f"{prefix}{ASSETS}"
    app.mount(assets, StaticFiles(packages=[("fastapi_offline", "static")]), name="documentation")

    def add(name: str, make_page: Callable[..., HTMLResponse], **files: str) -> None:
        @app.get(f"{prefix}/{name}", include_in_schema=False)
        def page(request: Request) -> HTMLResponse:
            root = request.scope.get("root_path", "")
            urls = {parameter: f"{root}{assets}/{file}" for parameter, file in files.items()}
            return with_policy(make_page(openapi_url=f"{root}{app.openapi_url}", title=app.title, **urls))

    add(
        "docs",
        get_swagger_ui_html,
        swagger_js_url="swagger-ui-bundle.js",
        swagger_css_url="swagger-ui.css",
        swagger_favicon_url="favicon.png",
    )
    redoc = partial(get_redoc_html, with_google_fonts=False)
    add("redoc", redoc, redoc_js_url="redoc.standalone.js", redoc_favicon_url="favicon.png")


def describe_authorisation(schema: dict[str, Any], rules: RuleBook, *, with_login: bool) -> dict[str, Any]:
    """Add the middleware's answers to an OpenAPI document, and which operations need a login.

    Errors get the one media type that they have. May run twice.
    """
    if with_login:
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    for path, operations in schema.get("paths", {}).items():
        for method, operation in operations.items():
            rule, _ = rules.find(method.upper(), PLACE.sub(ANY_PART, path), is_dagsters=False)
            needs_login = with_login and rule.least is not Open.EVERYBODY
            if needs_login:
                operation["security"] = [{"bearer": []}]
            has_body = "requestBody" in operation
            for status in _answers(rule, needs_login=needs_login, has_body=has_body, has_place="{" in path):
                operation["responses"].setdefault(str(status), _problem(status))
            for answer in operation["responses"].values():
                _name_problem(answer)
    return schema


def _name_problem(answer: dict[str, Any]) -> None:
    """FastAPI describes the model of an error as plain JSON in any case."""
    content = answer.get("content", {})
    if MEDIA_TYPE in content and "application/json" in content:
        content[MEDIA_TYPE] |= content.pop("application/json")


def _answers(rule: Rule, *, needs_login: bool, has_body: bool, has_place: bool) -> Iterator[int]:
    if has_place:
        yield 400  # for a control character
    if needs_login:
        yield from (401, 403, 503)
    if has_body:
        yield from (408, 413)
    if rule.counted:
        yield 429


def _problem(status: int) -> dict[str, Any]:
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": title_of(status), "content": {MEDIA_TYPE: reference}}


def with_policy(page: HTMLResponse) -> HTMLResponse:
    """Add a policy that allows only scripts of this server."""
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(one).digest()).decode()}'"
        for one in SCRIPT.findall(bytes(page.body))
    ]
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {' '.join(hashes)}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:;"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    return page
