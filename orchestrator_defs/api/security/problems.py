"""Errors as problem details: their content and their status."""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import HTTPConnection

from ops.steps.state import readable
from resources.errors import (
    AlreadyDescribed,
    CatalogueError,
    DatabaseError,
    DatabaseUnreachable,
    EnginePaused,
    ExternalSystemError,
    FormIncomplete,
    FormInvalid,
    FormsBusy,
    FormTimedOut,
    IdentityProviderUnavailable,
    InvalidQuery,
    KeyUsed,
    LoginRefused,
    LoginsLimited,
    NotAuthorised,
    NotStorable,
    NotWaiting,
    OrchestratorError,
    PolicyUnavailable,
    ProcessEnded,
    ProcessError,
    ProductInUse,
    RunMayNotAct,
    ScheduleError,
    ScheduleInvalid,
    StaleSubscription,
    StartRefused,
    StateError,
    StepsChanged,
    SubscriptionError,
    SubscriptionLocked,
    TransportError,
    UnfinishedProcesses,
    UnknownDescription,
    UnknownForm,
    UnknownProcess,
    UnknownProduct,
    UnknownProductBlock,
    UnknownQuery,
    UnknownResourceType,
    UnknownSchedule,
    UnknownSubscription,
    UnknownToken,
    UnknownWorkflow,
)

log = logging.getLogger(__name__)

SECRETS = re.compile(r"(/callback/)[^/? ]+")
"""The token of a callback, in its path."""
MEDIA_TYPE = "application/problem+json"
AWAY = "The database does not answer; try again in a moment."
NOT_EXTENDED = 510
"""The status of a form that needs another page."""

SHOWN_LEVELS = 12
"""How deeply nested input is repeated in an error."""

STATUSES: Mapping[type[Exception], int] = {
    UnknownProcess: 404,
    UnknownToken: 404,
    UnknownSubscription: 404,
    UnknownDescription: 404,
    UnknownProduct: 404,
    UnknownProductBlock: 404,
    UnknownResourceType: 404,
    UnknownQuery: 404,
    UnknownSchedule: 404,
    UnknownWorkflow: 404,
    UnknownForm: 404,
    InvalidQuery: 400,
    NotStorable: 400,
    EnginePaused: 503,
    LoginRefused: 401,
    LoginsLimited: 429,
    NotAuthorised: 403,
    StartRefused: 412,
    SubscriptionLocked: 412,
    StaleSubscription: 409,
    AlreadyDescribed: 409,
    UnfinishedProcesses: 422,
    KeyUsed: 409,
    ProductInUse: 409,
    NotWaiting: 409,
    ProcessEnded: 409,
    RunMayNotAct: 409,
    StepsChanged: 409,
    StateError: 400,
    FormInvalid: 400,
    FormIncomplete: NOT_EXTENDED,
    FormsBusy: 503,
    FormTimedOut: 504,
    SubscriptionError: 400,
    CatalogueError: 400,
    ScheduleInvalid: 422,
    ScheduleError: 400,
    ProcessError: 400,
    DatabaseError: 503,
    TransportError: 503,
    ExternalSystemError: 503,  # 502 would be more exact, but web clients take that for a short failure and show nothing
    IdentityProviderUnavailable: 503,
    PolicyUnavailable: 503,
}
"""The status of an error: that of its class, else of the nearest base class."""


class Problem(BaseModel):
    """An error by RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field("about:blank", description="the type of the problem")
    title: str = Field(description="the status in words", examples=["Not Found"])
    status: int = Field(description="the HTTP status", examples=[404])
    detail: Any = Field(description="a sentence for people: what is wrong, and what to do")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation, for its `responses` in the OpenAPI document."""
    return {
        status: {"model": Problem, "description": title_of(status), "content": {MEDIA_TYPE: {}}} for status in statuses
    }


class ProblemResponse(JSONResponse):
    """A problem as JSON, whatever its content: it may repeat input that is not proper JSON."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """Replace values without a JSON form by descriptions."""
        return super().render(readable(content))


def example(value: Any) -> dict[int | str, dict[str, Any]]:
    """An example of an operation's 200, for its `responses`, where no model describes it."""
    return {200: {"content": {"application/json": {"example": value}}}}


def problem(status: int, detail: Any, *, headers: Mapping[str, str] | None = None, **members: Any) -> JSONResponse:
    """An error answer; `members` are further members of the document."""
    body = {"type": "about:blank", "title": title_of(status), "status": status, "detail": detail, **members}
    return ProblemResponse(body, status_code=status, headers=dict(headers or {}))


def title_of(status: int) -> str:
    """The status in words."""
    return HTTPStatus(status).phrase


def status_of(error: Exception) -> int:
    """The status of an error."""
    return next((STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES), 500)


# --- what the application does with errors ---


def install(app: FastAPI) -> None:
    """Answer every error of the routes as a problem."""
    app.add_exception_handler(OrchestratorError, _refused)
    app.add_exception_handler(ExternalSystemError, _refused)
    app.add_exception_handler(TransportError, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def log_refusal(connection: HTTPConnection, status: int, why: str) -> None:
    """Log who was refused what, without a callback's token, in one line whatever was sent."""
    address = connection.client.host if connection.client else ""
    asked = f"{connection.scope.get('method', 'WEBSOCKET')} {connection.scope['path']} from {address}: {why}"
    log.info("Refused with %s: %s", status, ascii(SECRETS.sub(r"\1***", asked))[1:-1])


def _refused(request: Request, error: Exception) -> JSONResponse:
    match error:
        case FormIncomplete():
            return _form(NOT_EXTENDED, "Form not complete", error, form=error.schema, meta=error.meta)
        case FormInvalid():
            return _form(400, "Form not valid", error, validation_errors=_errors_of(error))
        case StartRefused():
            return problem(status_of(error), str(error), reason=error.reason, **jsonable_encoder(error.details))
    status = status_of(error)
    if status >= 500:
        log.warning("%s: %s", type(error).__name__, error)
    elif status in (401, 403):
        log_refusal(request, status, str(error))
    if isinstance(error, DatabaseUnreachable):  # its message has host, port and user, which only the log may have
        return problem(status, AWAY)
    return problem(status, str(error))


def _form(status: int, title: str, error: Exception, **members: Any) -> JSONResponse:
    answer = {"type": type(error).__name__, "title": title, "status": status, "detail": str(error)}
    return ProblemResponse(answer | members, status_code=status)


def _errors_of(error: FormInvalid) -> list[dict[str, Any]]:
    """The errors of a form, at least one, because clients show these."""
    return error.errors or [{"loc": ["__root__"], "msg": str(error), "type": "value_error", "input": None}]


def _not_understood(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "it is registered for no other"
    errors = [_shortened(one) for one in error.errors()]
    return problem(422, jsonable_encoder(errors, custom_encoder={bytes: repr, ValueError: str}))


def _shortened(value: Any, levels: int = SHOWN_LEVELS) -> Any:
    """The input, without deeply nested parts."""
    if not levels:
        return "…"
    if isinstance(value, dict):
        return {key: _shortened(item, levels - 1) for key, item in value.items()}
    return [_shortened(item, levels - 1) for item in value] if isinstance(value, list | tuple) else value


def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException), "it is registered for no other"
    return problem(error.status_code, error.detail, headers=error.headers)


def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    log.error("A request failed.", exc_info=error)
    return problem(500, "Something went wrong in the server; its log says what.")
