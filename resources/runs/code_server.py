"""Dagster's code server in a forked child, where the code is loaded already; a reload gives it a process of its own."""

import logging
import signal
import threading
import time
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

# Assembled like `dagster code-server start`: a server, and an object that answers for code which it has loaded or
# which another process has after a reload. Dagster has no public way to serve code that is loaded already.
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import CodeLocationOrigin
from dagster._core.utils import FuturesAwareThreadPoolExecutor
from dagster._grpc.__generated__.dagster_api_pb2 import ReloadCodeReply
from dagster._grpc.proxy_server import DagsterProxyApiServicer
from dagster._grpc.server import DagsterApiServer, DagsterGrpcServer

from resources.runs.guardian import end_this_process

log = logging.getLogger("dagster.code_server")

HEARTBEAT_SECONDS = 30
"""The process of a reload ends so long after its code server was killed; Dagster's own default."""
DATABASE_SECONDS, PAUSE_SECONDS = 60.0, 0.5
"""How long to wait for the database, and how often to ask."""


def serve_code(origin: CodeLocationOrigin, socket: Path, instance: InstanceRef) -> None:
    """Serve a code location on a socket until SIGTERM, which also ends the process of a reload."""
    wait_for_database(instance)
    executor, ended = FuturesAwareThreadPoolExecutor(), threading.Event()
    servicer: Any = ReloadableCode(origin, instance, executor, ended)
    server: Any = DagsterGrpcServer(ended, servicer, log, executor, socket=str(socket))
    # Loading the code has set another handler.
    signal.signal(signal.SIGTERM, lambda *_: end_this_process())
    server.serve()


def wait_for_database(instance: InstanceRef) -> None:
    """Wait while the database is away: Dagster reads it when it loads code, and would show that error for ever."""
    give_up = time.monotonic() + DATABASE_SECONDS
    while time.monotonic() < give_up:
        try:
            with DagsterInstance.from_ref(instance) as opened:
                opened.run_storage.get_cursor_values({"code server"})
        except Exception as error:  # noqa: BLE001  if it lasts, Dagster's page shows it
            log.warning("The database does not answer, and the code is loaded when it does: %s", error)
            time.sleep(PAUSE_SECONDS)
        else:
            return


class ReloadableCode:
    """Answers for the code that this process has loaded, and after a reload for the code that another process has."""

    def __init__(
        self,
        origin: CodeLocationOrigin,
        instance: InstanceRef,
        executor: FuturesAwareThreadPoolExecutor,
        ended: threading.Event,
    ) -> None:
        self._origin = origin
        self._ended = ended
        self._instance_ref = instance
        self._lock = threading.Lock()
        self._is_reloaded = False
        self._servicer: Any = DagsterApiServer(
            ended,
            log,
            executor,
            loadable_target_origin=origin.loadable_target_origin,
            lazy_load_user_code=True,  # Dagster's page shows the error of code that cannot be loaded
            inject_env_vars_from_instance=True,
            instance_ref=self._instance_ref,
            location_name=origin.location_name,
        )

    def __getattr__(self, name: str) -> Any:
        return lambda *given: getattr(self._servicer, name)(*given)

    def ReloadCode(self, request: Any, context: Any) -> Any:  # noqa: N802  Dagster's name of the request
        """Load the code in another process, which answers from then on."""
        with self._lock:
            if self._is_reloaded:
                return self._servicer.ReloadCode(request, context)
            self._servicer, self._is_reloaded = self._reloaded(), True
            return ReloadCodeReply()

    def _reloaded(self) -> DagsterProxyApiServicer:
        return DagsterProxyApiServicer(
            self._origin.loadable_target_origin,
            fixed_server_id=None,
            container_image=None,
            container_context=None,
            inject_env_vars_from_instance=True,
            location_name=self._origin.location_name,
            log_level="warning",
            startup_timeout=0,
            server_termination_event=self._ended,
            instance_ref=self._instance_ref,
            logger=log,
            server_heartbeat=False,
            server_heartbeat_timeout=HEARTBEAT_SECONDS,
            heartbeat_ttl=HEARTBEAT_SECONDS,
            defs_state_info=None,
        )
