"""Entity tags: a client that has the current answer gets 304 Not Modified."""

import hashlib
import re

from starlette.requests import Request
from starlette.responses import Response

TAG = re.compile(r'(?:W/)?("[^"]*")')


def etag(mark: str) -> str:
    """A strong entity tag."""
    return f'"{mark}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether the request's If-None-Match has this tag or is `*`; the comparison is weak, as RFC 9110 demands."""
    given = ",".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag.removeprefix("W/") in TAG.findall(given)


def tagged(request: Request, body: bytes, headers: dict[str, str] | None = None) -> Response:
    """An answer of JSON with its tag, or 304 without a body when the client has it."""
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**(headers or {}), "ETag": tag, "Cache-Control": "private, no-cache"}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
