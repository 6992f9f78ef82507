"""If-None-Match: whether a client has the present answer already."""

import re

from starlette.requests import Request

TAG = re.compile(r'(?:W/)?("[^"]*")')


def etag(mark: str) -> str:
    """A strong entity tag."""
    return f'"{mark}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether the request's If-None-Match has this tag, or is `*`; compared weakly, as RFC 9110 has it."""
    given = ",".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag.removeprefix("W/") in TAG.findall(given)
