"""HTTP to external systems: a time-out for every call, and errors that tell people what to do."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests

from resources import tracing
from resources.errors import ExternalSystemError, ExternalSystemNotConfigured, ExternalSystemUnavailable
from resources.systems.calls import noted

UNAVAILABLE = (429, 502, 503, 504)
"""Statuses that are not about the request: it may succeed later."""

SESSIONS_KEPT = 8
"""For each thread; a process uses few systems, but a test run many."""

_kept = threading.local()


class ExternalSession(requests.Session):
    """A session with one external system, in one thread of one process.

    `system` and `advice` are for the messages. The caller handles a 404; every other refusal raises
    ExternalSystemError, and no answer raises ExternalSystemUnavailable. No message has a header, so none has a token.
    """

    def __init__(self, system: str, advice: str, timeout: float) -> None:
        super().__init__()
        self.system = system
        self.advice = advice
        self.timeout = timeout
        self.etag: str | None = None

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Like `requests`; keeps the answer's ETag for `only_if_unchanged`."""
        with tracing.call_span(self.system, method.upper(), shown(url)) as headers, noted(self.system):
            if headers:
                kwargs["headers"] = {**(kwargs.get("headers") or {}), **headers}
            return self._request(method, url, *args, **kwargs)

    def _request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", self.timeout)
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.Timeout:
            raise ExternalSystemUnavailable(
                f"{self.system} at {shown(url)} gave no answer in {self.timeout:g} s; {self.advice}."
            ) from None
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise ExternalSystemUnavailable(
                f"{self.system} at {shown(url)} cannot be reached ({_cause(error)}); {self.advice}."
            ) from None
        except requests.RequestException as error:
            raise ExternalSystemError(f"{self.system} cannot be called at {shown(url)}: {error}") from None
        tracing.note_status(response.status_code)
        self.etag = response.headers.get("ETag")
        self._refuse(method.upper(), url, response)
        return response

    def _refuse(self, method: str, url: str | bytes, response: requests.Response) -> None:
        status = response.status_code
        if status in UNAVAILABLE:
            raise ExternalSystemUnavailable(
                f"{self.system} answered {status} to {method} {shown(url)}: {own_words(response)}; {self.advice}."
            )
        if status >= 400 and status != 404:
            raise ExternalSystemError(
                f"{self.system} refused {method} {shown(url)} with {status}: {own_words(response)}"
            )

    @contextmanager
    def with_headers(self, **headers: str | None) -> Iterator[None]:
        """Send these headers with every call in the block; `_` in a name is `-`, and None is not sent."""
        before = dict(self.headers)
        self.headers.update({name.replace("_", "-"): value for name, value in headers.items() if value is not None})
        try:
            yield
        finally:
            self.headers.clear()
            self.headers.update(before)


def configured_url(system: str, prefix: str, url: str | None) -> str:
    """The configured address, without a slash at its end. Raises ExternalSystemNotConfigured."""
    if not url:
        raise ExternalSystemNotConfigured(
            f"{system} is not configured: set {prefix}_URL to its address, as in https://{prefix.lower()}.example.org,"
            f" and {prefix}_TOKEN to a token for it."
        )
    return url.rstrip("/")


def session_for(system: str, base_url: str, advice: str, timeout: float) -> ExternalSession:
    """This thread's session with the system; connections stay open, but are never shared with a forked process."""
    sessions: dict[tuple[object, ...], ExternalSession] = _kept.__dict__.setdefault("sessions", {})
    key = (os.getpid(), system, base_url, advice, timeout)
    if key not in sessions:
        if len(sessions) >= SESSIONS_KEPT:
            sessions.pop(next(iter(sessions))).close()
        sessions[key] = session = ExternalSession(system, advice, timeout)
        # Calls to this machine must not use a proxy of the environment.
        session.trust_env = urlsplit(base_url).hostname not in ("127.0.0.1", "localhost", "::1")
    return sessions[key]


def shown(url: str | bytes) -> str:
    """The address without user, password and query, for messages."""
    parts = urlsplit(url.decode() if isinstance(url, bytes) else url)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    return f"{parts.scheme}://{host}{parts.path}"


def own_words(response: requests.Response) -> str:
    """The error message of the system: `field: message` for each, else the beginning of its answer."""
    try:
        return _flat(response.json()) or response.reason
    except ValueError:
        return " ".join(response.text.split())[:200] or response.reason


def _flat(answer: Any) -> str:
    if isinstance(answer, dict):
        unnamed = ("detail", "error", "__all__", "non_field_errors")
        return "; ".join(
            _flat(said) if field in unnamed else f"{field}: {_flat(said)}" for field, said in answer.items() if said
        )
    if isinstance(answer, list):
        return "; ".join(filter(None, map(_flat, answer)))
    return str(answer)


def _cause(error: requests.RequestException) -> str:
    text = str(error)
    for sign, cause in (
        ("refused", "connection refused"),
        ("resolve", "unknown host"),
        ("Name or service", "unknown host"),
    ):
        if sign in text:
            return cause
    return "connection lost"
