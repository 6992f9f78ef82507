"""The lab as one ASGI application: NetBox under /api, playbooks under /playbooks, devices under /devices."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resources.database.session import SubscriptionDatabase
from resources.lab.answers import VERSION
from resources.lab.launcher import TOKEN
from resources.lab.netbox_api import Answer, Asked, answer
from resources.lab.refusals import RefusedError, not_found
from resources.lab.rules import InjectedFault, injected_fault
from resources.lab.runner import Runner
from resources.lab.tables import calls, install

CHANGES = ("POST", "PUT", "PATCH", "DELETE")
METHODS = ["GET", *CHANGES]


def create_app(database: SubscriptionDatabase) -> Starlette:
    """The application on the lab's schema of this database, which is created when missing. One for each database."""
    install(database)
    lab = Application(database)
    routes = [
        Route("/health", lambda _: JSONResponse({"status": "ok"})),
        Route("/{path:path}", lab.serve, methods=METHODS),
    ]
    return Starlette(routes=routes, lifespan=lab.lifespan)


class Application:
    """Answers every request in a thread, in one transaction; records every call that changes something."""

    def __init__(self, database: SubscriptionDatabase) -> None:
        self.engine = database.engine
        self.runner = Runner(database)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(self.runner.resume)
        yield
        self.runner.close()

    async def serve(self, request: Request) -> Response:
        body = await request.body()
        path = f"/{request.path_params['path']}"
        fault = await run_in_threadpool(self._fault, f"{request.method} {path}")
        await asyncio.sleep(fault.seconds)
        return await run_in_threadpool(self._respond, request, path, body, fault)

    def _fault(self, event: str) -> InjectedFault:
        with self.engine.begin() as connection:
            return injected_fault(connection, event)

    def _respond(self, request: Request, path: str, body: bytes, fault: InjectedFault) -> Response:
        given: Any = None
        try:
            if fault.failure is not None:
                raise RefusedError(fault.failure, {"detail": "A rule of the lab fails this."})
            given = _json(body)
            _check_token(request)
            result = self._answer(request, path, given)
        except RefusedError as refusal:
            result = Answer(refusal.status, refusal.body)
        if request.method in CHANGES:
            self._note(request, path, given, result.status)
        headers = {"API-Version": VERSION, **result.headers}
        if result.body is None:
            return Response(status_code=result.status, headers=headers)
        return JSONResponse(result.body, status_code=result.status, headers=headers)

    def _answer(self, request: Request, path: str, given: Any) -> Answer:
        match request.method, path.strip("/").split("/"):
            case _, ["api", *rest]:
                with self.engine.begin() as connection:
                    return answer(connection, _asked(request, "/".join(rest), given))
            case "POST", ["playbooks", name]:
                key = request.headers.get("Idempotency-Key")
                return Answer(202, self.runner.start(name, given, key))
            case "GET", ["jobs", job_id]:
                return Answer(200, self.runner.job(job_id))
            case "GET", ["devices", device, "config"]:
                return Answer(200, self.runner.observe(device))
        raise not_found()

    def _note(self, request: Request, path: str, given: Any, status: int) -> None:
        call = {
            "method": request.method,
            "path": path,
            "idempotency_key": request.headers.get("Idempotency-Key"),
            "status": status,
            "body": given,
        }
        with self.engine.begin() as connection:
            connection.execute(sa.insert(calls).values(call))


def _asked(request: Request, path: str, given: Any) -> Asked:
    return Asked(
        method=request.method,
        path=path,
        query=parse_qs(request.url.query, keep_blank_values=True),
        body=given,
        base_url=str(request.base_url).rstrip("/"),
        if_match=request.headers.get("If-Match"),
    )


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError as error:
        raise RefusedError(400, {"detail": f"JSON parse error - {error}"}) from None


def _check_token(request: Request) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not token:
        raise RefusedError(403, {"detail": "Authentication credentials were not provided."})
    if scheme not in ("Token", "Bearer") or token != TOKEN:
        raise RefusedError(403, {"detail": "Invalid token"})
