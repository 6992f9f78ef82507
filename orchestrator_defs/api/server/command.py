"""The server command: it checks everything before the first request, and reports an error in one sentence."""

import atexit
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.dagster_page import DagsterPage, locations_of
from orchestrator_defs.api.security.exposure import check_exposure
from orchestrator_defs.api.server.code_servers import CodeServers
from orchestrator_defs.api.server.loading import own_application, served_orchestrators
from orchestrator_defs.api.server.prefix import Prefixed
from orchestrator_defs.api.server.prefork import Prefork
from orchestrator_defs.api.server.stack import CodeBefore, Reports, Stack
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.processes.instance import dagster_instance
from orchestrator_defs.serving import Serving
from resources.database.session import limit_statements
from resources.errors import REFUSALS, SettingsError, TransportError
from resources.runs.child_process import name_process
from resources.runs.forked_children import STOPPING, ForkedChildren
from resources.secrecy import LOGIN_SECRETS, take_variable

log = logging.getLogger(__name__)

BACKLOG = 2048


def main(arguments: Sequence[str]) -> int:
    """Serve with the given options until stopped; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for ours in ("orchestrator_defs", "ops", "resources"):
        logging.getLogger(ours).setLevel(logging.INFO)
    warnings.showwarning = _in_a_line
    atexit.register(gc.freeze)  # otherwise the interpreter takes more than a second to free everything
    for number in STOPPING:
        signal.signal(number, lambda *_: sys.exit(0))  # until it serves; it still ends what it has started
    name_process("server")
    serving = Serving.from_json(arguments[0])
    try:
        return serve(serving)
    except REFUSALS as error:
        sys.stderr.write(f"Error: {error}\n")
        if serving.reports is not None:
            may_pass = isinstance(error, TransportError)
            Reports(serving.reports)(str(error), is_fatal=True, is_start=True, may_pass=may_pass)
        return 1


def _in_a_line(message: Warning | str, *_: object, **__: object) -> None:
    """Shorten Dagster's tracebacks, which its page shows as well."""
    log.warning("%s", str(message).partition("\n")[0])


def serve(serving: Serving) -> int:
    """Serve until stopped; returns the exit status. Raises an error of ours when it cannot start."""
    if serving.access_log:
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    os.environ.setdefault("SESSION_SECRET", secrets.token_urlsafe(32))  # one for all processes
    if serving.app is None:  # its own application may have other settings, checked when it is made
        check_exposure(_settings(), serving.host)
    login = {name: value for name in LOGIN_SECRETS if (value := take_variable(name)) is not None}
    with closing(listening(serving.host, serving.port)) as listener, _runtime(serving.runtime) as folder:
        serving = replace(serving, port=listener.getsockname()[1])
        locations = locations_of({key: value for key, value in serving.code.items() if key != "location"})
        with dagster_instance() as instance:  # this also checks whether its database answers
            is_loaded = serving.app is None and serving.definitions is None
            servers = CodeServers(locations, folder, instance, is_loaded=is_loaded)
            before = CodeBefore.of(instance, servers.shared)
        servers.start()  # they load their code while we load ours
        with ExitStack() as parts:
            parts.callback(servers.stop)
            served = None if serving.app else served_orchestrators(serving.definitions, serving.code)
            app = _application(serving, served, servers.workspace, login)
            check_exposure(app.state.settings, serving.host)
            children = ForkedChildren()
            stack = None
            if serving.reports is not None and served is not None:
                stack = Stack(serving, folder, children, Reports(serving.reports), servers, before)
                stack.prepare(served)
                parts.callback(stack.stop)
            gc.collect()
            gc.freeze()  # the garbage collector of a child must not write into shared pages
            servers.fork(children, listener)
            seconds = app.state.settings.statement_timeout_seconds
            serve_limited = partial(limit_statements, seconds)  # in serving processes: a step may take longer
            return _prefork(app, listener, serving, servers, stack, children, serve_limited).run()


def listening(host: str, port: int) -> socket.socket:
    """A listening socket, on any port when 0. Raises SettingsError."""
    with ExitStack() as failed:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            # Named TCP, or asyncio does not turn Nagle's algorithm off and each answer waits 40 ms for an
            # acknowledgement.
            listener = failed.enter_context(socket.socket(family, kind, protocol or socket.IPPROTO_TCP))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            why = f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another with --port."
            raise SettingsError(why) from error
        failed.pop_all()
        return listener


def _prefork(
    app: ASGIApp,
    listener: socket.socket,
    serving: Serving,
    servers: CodeServers,
    stack: Stack | None,
    children: ForkedChildren,
    before_serving: Callable[[], None],
) -> Prefork:
    def ready() -> None:
        what = "1 process" if serving.workers == 1 else f"{serving.workers} processes"
        log.info(
            "Serving on %s in %s; the API's documentation is at %sapi/docs.", *(serving.address, what, serving.address)
        )
        if stack is not None:
            stack.start(listener)

    def check() -> None:
        servers.check()
        if stack is not None:
            stack.check()

    return Prefork(
        Prefixed(app, serving.path_prefix) if serving.path_prefix else app,
        listener,
        serving.workers,
        children,
        forwarded_allow_ips=serving.forwarded_allow_ips,
        access_log=serving.access_log,
        before_serving=before_serving,
        on_ready=ready,
        tick=check,
        on_stop=stack.stop if stack is not None else lambda: None,
    )


def _application(serving: Serving, served: Served | None, workspace: Path, login: Mapping[str, str]) -> FastAPI:
    """An organisation's own application, or that of what is served; it gets Dagster's page if it has none.

    Only while it is made the secrets of the `login` are in the environment.
    """
    os.environ.update(login)
    try:
        app = create_app(_settings(), served) if served else own_application(str(serving.app))
    finally:
        for name in login:
            take_variable(name)
    if app.state.page is None:
        app.state.page = DagsterPage(str(workspace), path_prefix=serving.path_prefix)
    return app


def _settings() -> ApiSettings:
    try:
        return ApiSettings()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"The environment cannot be used: {faults}.") from None


@contextmanager
def _runtime(named: str | None) -> Iterator[Path]:
    """A folder for sockets, closed to other users: a client of a code server can run any code in it."""
    if named is not None:
        folder = Path(named)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="orchestrator-") as made:
            yield Path(made)
