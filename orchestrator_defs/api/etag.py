"""Entity tags: whoever has the present answer already is told so in the place of it."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response


def tagged(request: Request, body: bytes, headers: dict[str, str] | None = None) -> Response:
    """An answer of JSON with its tag, or 304 without a body when the request's If-None-Match has it."""
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**(headers or {}), "ETag": tag, "Cache-Control": "private, no-cache"}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _has(if_none_match: str, tag: str) -> bool:
    """Compare weakly, as RFC 9110 wants it for If-None-Match."""
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return given == ["*"] or tag.removeprefix("W/") in given
