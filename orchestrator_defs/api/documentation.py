"""The pages that describe the API, whole on a network that reaches no other."""

import base64
import hashlib
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from orchestrator_defs.api.policy import Open, RuleBook
from orchestrator_defs.api.problems import MEDIA_TYPE, title_of

ASSETS = "/docs/assets"
SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI, prefix: str) -> None:
    """Serve Swagger UI and ReDoc, with their scripts, under a prefix. To be called before anything is mounted there."""
    assets = f"{prefix}{ASSETS}"
    app.mount(assets, StaticFiles(packages=[("fastapi_offline", "static")]), name="documentation")

    @app.get(f"{prefix}/docs", include_in_schema=False)
    def swagger(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{root}{assets}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{assets}/swagger-ui.css",
            swagger_favicon_url=f"{root}{assets}/favicon.png",
        )
        return _guarded(page)

    @app.get(f"{prefix}/redoc", include_in_schema=False)
    def redoc(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_redoc_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            redoc_js_url=f"{root}{assets}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{assets}/favicon.png",
            with_google_fonts=False,
        )
        return _guarded(page)


def describe_login(schema: dict[str, Any], rules: RuleBook) -> dict[str, Any]:
    """Write into an OpenAPI document which operations need a login, and what one answers that does not get in.

    May run twice.
    """
    schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    for path, operations in schema.get("paths", {}).items():
        for method, operation in operations.items():
            rule, _ = rules.find(method.upper(), path, is_dagsters=False)
            if rule.least is not Open.EVERYBODY:
                operation["security"] = [{"bearer": []}]
                for status in (401, 403, 503):
                    operation["responses"].setdefault(str(status), _problem(status))
    return schema


def _problem(status: int) -> dict[str, Any]:
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": title_of(status), "content": {MEDIA_TYPE: reference}}


def _guarded(page: HTMLResponse) -> HTMLResponse:
    """With a policy that lets run what this server sent, and nothing else."""
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
