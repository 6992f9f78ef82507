"""A caller that does as the web client does in a browser, and fails where a browser or that client would."""

import json
from dataclasses import dataclass
from typing import Any, Self

import httpx

from tests.api import caller

UI = "http://localhost:3000"
"""Where the pages come from that call the API: another origin."""


@dataclass(frozen=True)
class Answer:
    """What the client's code gets to see; a 204 is an empty object to it."""

    status: int
    data: Any
    headers: httpx.Headers


class WebClient:
    """Calls an API from the pages of `UI`, with a token if it has one."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        self.http = caller(base_url)
        self.authorization = {"Authorization": f"Bearer {token}"} if token else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, path: str, **headers: str) -> Answer:
        """A query. The client names a content type with most of these, too."""
        return self.call("GET", path, None, headers)

    def post(self, path: str, body: Any = None) -> Answer:
        """A mutation; without a body there is no content type either."""
        return self.call("POST", path, body)

    def put(self, path: str, body: Any = None) -> Answer:
        """The same."""
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Any = None) -> Answer:
        """The same."""
        return self.call("PATCH", path, body)

    def delete(self, path: str, body: Any = None) -> Answer:
        """The same."""
        return self.call("DELETE", path, body)

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """The preflight and the call. Fails when a browser hides the answer, or the client cannot read it."""
        sent = {**(headers or {}), **self.authorization}
        if body is not None or method == "GET":
            sent["Content-Type"] = "application/json"
        self.preflight(method, path, [name.lower() for name in sent])
        content = None if body is None else json.dumps(body)
        answer = self.http.request(method, path, content=content, headers={**sent, "Origin": UI})
        assert not answer.has_redirect_location, f"{method} {path} is sent on to {answer.headers['location']}"
        assert answer.headers.get("access-control-allow-origin") == UI, "the browser hides the answer"
        if answer.status_code in (204, 304):
            assert not answer.content
            return Answer(answer.status_code, {}, answer.headers)
        assert answer.headers["content-type"] in ("application/json", "application/problem+json")
        return Answer(answer.status_code, json.loads(answer.text, parse_constant=_no_json), answer.headers)

    def preflight(self, method: str, path: str, headers: list[str]) -> httpx.Response:
        """Ask whether the pages may call so, as a browser does: without login. Fails when they may not."""
        asked = {"Origin": UI, "Access-Control-Request-Method": method}
        if headers:
            asked["Access-Control-Request-Headers"] = ",".join(sorted(headers))
        answer = self.http.options(path, headers=asked)
        assert answer.status_code == 200, f"the preflight of {method} {path} is answered {answer.status_code}"
        assert answer.headers["access-control-allow-origin"] == UI
        assert method in _words(answer.headers["access-control-allow-methods"])
        allowed = {name.lower() for name in _words(answer.headers["access-control-allow-headers"])}
        assert allowed >= set(headers)
        return answer


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(",")}


def _no_json(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON: a browser cannot read it")
