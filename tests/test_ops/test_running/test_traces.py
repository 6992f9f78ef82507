"""A process is one trace: its steps and calls are spans in it, in whatever run, and none shows a value."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import UUID

import pytest

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources import tracing
from resources.settings import settings
from resources.systems.http_session import session_for
from resources.types import Assignee

SECRET = "sesame-street"


class Page(SubmitFormPage):
    password: str


@pytest.fixture
def system() -> Iterator[Any]:
    """An external system that keeps the headers of what it is asked, and refuses `/bad`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(dict(self.headers))  # type: ignore[attr-defined]
            self.send_response(400 if self.path.startswith("/bad") else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.asked = []  # type: ignore[attr-defined]
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def engine(engine_of, system):
    address = f"http://127.0.0.1:{system.server_port}"

    def ask(path: str) -> None:
        session_for("NetBox", address, "start it", 5).get(f"{address}{path}?token={SECRET}", headers={"X-Own": "1"})

    @inputstep("Approve", Assignee.NOC)
    def approve():
        page = yield Page
        return {"password": page.password}

    @step("Look up")
    def look_up() -> None:
        ask("/good")

    @step("Fail")
    def fail(password: str) -> None:
        ask("/bad")

    @task("Traced")
    def traced():
        return begin >> look_up >> approve >> fail

    return engine_of(traced)


@pytest.fixture
def exporter(monkeypatch):
    """Tracing on, into memory."""
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = tracing.own_provider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(tracing, "_provider", lambda: provider)
    monkeypatch.setenv("TRACING_ENABLED", "true")
    settings.cache_clear()
    tracing._tracer.cache_clear()
    yield memory
    provider.shutdown()
    settings.cache_clear()
    tracing._tracer.cache_clear()


@pytest.fixture
def spans(exporter, engine):
    """Those of a process of two runs, of which the second fails."""
    process_id = engine.run("traced")
    engine.answer(process_id, [{"password": SECRET}])
    return process_id, {span.name: span for span in exporter.get_finished_spans()}


def test_all_runs_of_a_process_are_one_trace_with_the_process_at_its_root(spans):
    process_id, found = spans
    assert {span.context.trace_id for span in found.values()} == {process_id.int}
    root = found["traced"]
    assert root.parent is None
    for name in ("traced look_up", "traced approve", "traced fail"):
        assert found[name].parent.span_id == root.context.span_id, name


def test_a_step_names_workflow_process_step_and_run(spans):
    process_id, found = spans
    about = dict(found["traced look_up"].attributes)
    assert about == {
        "orchestrator.workflow": "traced",
        "orchestrator.process_id": str(process_id),
        "orchestrator.run_id": str(process_id),
        "orchestrator.step": "look_up",
    }
    assert found["traced fail"].attributes["orchestrator.run_id"] != str(process_id)


def test_a_call_lies_below_its_step_and_hands_the_trace_on(exporter, engine, system):
    process_id = engine.run("traced")
    step_span, call = (
        next(span for span in exporter.get_finished_spans() if span.name == name)
        for name in ("traced look_up", "GET NetBox")
    )
    assert call.parent.span_id == step_span.context.span_id
    assert call.attributes["http.response.status_code"] == 200
    (headers,) = system.asked
    assert headers["traceparent"] == f"00-{process_id.hex}-{call.context.span_id:016x}-01"
    assert headers["X-Own"] == "1"


def test_failures_have_their_kind_and_no_text(spans):
    _, found = spans
    for name in ("traced fail", "GET NetBox"):
        assert found[name].status.status_code.name == "ERROR"
        assert found[name].attributes["error.type"] == "ExternalSystemError"
        assert not found[name].events


def test_no_span_has_a_value(spans):
    _, found = spans
    assert SECRET not in "".join(span.to_json() for span in found.values())


def test_nothing_is_sent_on_while_traces_are_off(engine, system):
    tracing._tracer.cache_clear()
    engine.run("traced")
    (headers,) = system.asked
    assert "traceparent" not in headers
    assert tracing._tracer() is None


def test_a_missing_extra_is_a_warning(monkeypatch, caplog):
    def missing() -> None:
        raise ImportError("No module named 'opentelemetry.sdk'")

    monkeypatch.setattr(tracing, "_provider", missing)
    monkeypatch.setenv("TRACING_ENABLED", "true")
    settings.cache_clear()
    tracing._tracer.cache_clear()
    with tracing.step_span("x", UUID(int=1), {}):
        pass
    settings.cache_clear()
    tracing._tracer.cache_clear()
    assert "install the extra `otel`" in caplog.text
