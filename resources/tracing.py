"""Traces of OpenTelemetry: one per process, with a span per step and per call to an external system.

The trace's id is the process's, so all runs of a process, on whatever machine, write one trace. A span has names and
ids, and no value of a form, a state or an answer. Without TRACING_ENABLED nothing of OpenTelemetry is loaded.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from resources.settings import settings

log = logging.getLogger(__name__)

_root: ContextVar[UUID | None] = ContextVar("root", default=None)
"""The process whose first span is being made."""


def process_span(name: str, process_id: UUID, begun: datetime, about: Mapping[str, str]) -> None:
    """The span at the root of a process's trace, from its beginning to now; the spans of its steps lie below."""
    if (tracer := _tracer()) is None:
        return
    from opentelemetry.context import Context

    token = _root.set(process_id)
    try:
        began = int(begun.timestamp() * 1e6) * 1000
        tracer.start_span(name, context=Context(), start_time=began, attributes=_named(about)).end()
    finally:
        _root.reset(token)


@contextmanager
def step_span(name: str, process_id: UUID, about: Mapping[str, str]) -> Iterator[None]:
    """A span around a step, in the trace of its process."""
    if (tracer := _tracer()) is None:
        yield
        return
    with _span(tracer, name, context=_of_process(process_id), attributes=_named(about)):
        yield


@contextmanager
def call_span(system: str, method: str, url: str) -> Iterator[dict[str, str]]:
    """A span around a call to an external system; the headers with which that continues the trace."""
    headers: dict[str, str] = {}
    if (tracer := _tracer()) is None:
        yield headers
        return
    from opentelemetry import propagate, trace

    about = {"orchestrator.system": system, "http.request.method": method, "url.full": url}
    with _span(tracer, f"{method} {system}", kind=trace.SpanKind.CLIENT, attributes=about):
        propagate.inject(headers)
        yield headers


def note_status(status: int) -> None:
    """Add the status of an answer to the span of the call."""
    if _tracer() is not None:
        from opentelemetry import trace

        trace.get_current_span().set_attribute("http.response.status_code", status)


@contextmanager
def _span(tracer: Any, name: str, **options: Any) -> Iterator[None]:
    """A span that keeps the kind of an error, and not its message, which may have a value that nobody is to see."""
    from opentelemetry.trace import StatusCode

    silent = {"record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(name, **options, **silent) as span:
        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def _named(about: Mapping[str, str]) -> dict[str, str]:
    return {f"orchestrator.{name}": value for name, value in about.items()}


def _of_process(process_id: UUID) -> Any:
    """The context whose current span is the root of a process's trace."""
    from opentelemetry import trace

    sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    root = trace.SpanContext(process_id.int, _span_of(process_id), is_remote=True, trace_flags=sampled)
    return trace.set_span_in_context(trace.NonRecordingSpan(root))


def _span_of(process_id: UUID) -> int:
    return process_id.int & (2**64 - 1)


@cache
def _tracer() -> Any:
    """The tracer of this process; None while traces are off."""
    if not settings().tracing_enabled:
        return None
    try:
        return _provider().get_tracer("orchestrator")
    except ImportError as error:
        log.warning("TRACING_ENABLED is set, and OpenTelemetry is missing (%s): install the extra `otel`.", error)
        return None


def _provider() -> Any:
    """The provider that somebody has set up, else one that exports by OTLP, as the variables OTEL_… say."""
    from opentelemetry import propagate, trace  # noqa: F401  the former takes long to load, and no call is to wait
    from opentelemetry.sdk.trace import TracerProvider

    if isinstance(found := trace.get_tracer_provider(), TracerProvider):
        return found
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = own_provider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def own_provider() -> Any:
    """A provider whose first span of a process has the process's ids."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "orchestrator"}
    ids: Any = _Ids(RandomIdGenerator())
    return TracerProvider(resource=Resource.create(named), id_generator=ids)


class _Ids:
    """Ids at random, but those of the first span of a process."""

    def __init__(self, random: Any) -> None:
        self._random = random

    def __getattr__(self, name: str) -> Any:
        return getattr(self._random, name)

    def generate_trace_id(self) -> int:
        process_id = _root.get()
        return process_id.int if process_id else int(self._random.generate_trace_id())

    def generate_span_id(self) -> int:
        process_id = _root.get()
        return _span_of(process_id) if process_id else int(self._random.generate_span_id())
