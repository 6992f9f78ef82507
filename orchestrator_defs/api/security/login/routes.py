"""The routes for login and logout of browsers, and for the user's own name and roles."""

import logging
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from orchestrator_defs.api.dependencies import SettingsDep, UserDep
from orchestrator_defs.api.security.authorisation import AuthorisationDep
from orchestrator_defs.api.security.login.cookies import is_secure
from orchestrator_defs.api.security.login.identity import user_of
from orchestrator_defs.api.security.login.origins import base_of, is_loopback
from orchestrator_defs.api.security.login.sessions import Headers, safe_target
from orchestrator_defs.api.security.problems import problem, problems
from resources.errors import LoginRefused
from resources.users import Role

log = logging.getLogger(__name__)

router = APIRouter(tags=["login"])

LOGOUT_PAGE = """<!doctype html><html lang="en"><title>Log out</title>
<form method="post"><button>Log out</button></form></html>"""


class Me(BaseModel):
    name: str = Field(description="as processes and their steps record it", examples=["ada"])
    roles: list[Role] = Field(description="the roles of the login, least first", examples=[["viewer", "operator"]])
    is_logged_in: bool = Field(description="false when the server requires no login")


class LoggedOut(BaseModel):
    """Where to end the login at the provider, too."""

    logout_url: str | None = Field(description="address at the identity provider", examples=[None])


@router.get("/me", summary="The user and their roles", responses=problems(401, 503))
def who_am_i(user: UserDep, settings: SettingsDep) -> Me:
    """The user and their roles, as the server knows them."""
    return Me(name=str(user), roles=[role for role in Role if role in user.roles], is_logged_in=settings.oauth2_active)


@router.get("/login", include_in_schema=False)
async def log_in(
    request: Request,
    settings: SettingsDep,
    authorisation: AuthorisationDep,
    target: Annotated[str, Query(alias="next")] = "",
) -> Response:
    """Redirect a browser to the identity provider, and afterwards back to its page."""
    target = safe_target(target, otherwise=f"{request.scope.get('root_path', '')}/")
    if not settings.oauth2_active:
        return RedirectResponse(target, 303)
    if not (is_secure(request, settings) or is_loopback(request.headers.get("host", ""))):
        return problem(
            400,
            "Browsers keep a login over https only. Serve over https, or set BASE_URL to the proxy's https address.",
        )
    address, headers = await authorisation.sessions.begin(request, target)
    return _sent(address, headers)


@router.get("/login/callback", include_in_schema=False)
async def come_back(
    request: Request,
    settings: SettingsDep,
    authorisation: AuthorisationDep,
    code: str = "",
    state: str = "",
    error: str = "",
) -> Response:
    """Begin the session of a browser that returns from the identity provider."""
    if error:
        word = error if error.isascii() and error.isidentifier() else "an error"
        return _refused(f"The identity provider refused the login: {word}. Try again at /api/login.")
    sessions = authorisation.sessions
    try:
        session, target = await sessions.end_of_login(request, code, state)
        user = user_of(session.claims, settings)  # or each page would send a user without a usable name here
        log.info("%s has logged in.", user)
        return _sent(target, sessions.kept(request, session))
    except LoginRefused as refusal:
        return _refused(str(refusal))


@router.get("/logout", include_in_schema=False)
def ask_to_log_out() -> HTMLResponse:
    """A page with a button, because a link alone must not log out."""
    return HTMLResponse(LOGOUT_PAGE, headers={"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"})


@router.post(
    "/logout",
    summary="End the session of a browser",
    response_model=LoggedOut,
    responses={303: {"description": "For a browser that shows the answer: the next page"}, **problems(403)},
)
async def log_out(request: Request, settings: SettingsDep, authorisation: AuthorisationDep) -> Response:
    """End the session here and, in a browser that shows the answer, at the provider.

    A bearer token stays valid until it expires.
    """
    sessions = authorisation.sessions
    address = await sessions.end(request) if settings.oauth2_active else None
    if "text/html" in request.headers.get("accept", ""):
        return _sent(address or f"{base_of(request, settings.base_url)}/", sessions.forgotten(request))
    response = Response(LoggedOut(logout_url=address).model_dump_json(), media_type="application/json")
    response.raw_headers.extend(sessions.forgotten(request))
    return response


def _refused(detail: str) -> Response:
    return problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="orchestrator"'})


def _sent(address: str, headers: Headers) -> Response:
    response = RedirectResponse(quote(address, safe=":/%#?=@[]!$&'()*+,;~"), 303)
    response.raw_headers.extend(headers)
    return response
