"""Makes a user with roles from the claims of a token."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator_defs.api.security.login.tokens import Claims
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import LoginRefused
from resources.users import SYSTEM, Role, User

NOBODY = SYSTEM
"""The user when no login is required."""
ANONYMOUS = User("anonymous")
"""The user of open routes."""
LONGEST_NAME = 255
"""The length of the column in rows of processes."""


def user_of(claims: Claims, settings: ApiSettings) -> User:
    """The user in claims. Raises LoginRefused when they name none."""
    candidates = (claims.get(name) for name in (settings.oauth2_user_claim, "sub", "client_id"))
    name = next((one for one in candidates if isinstance(one, str) and one.strip()), None)
    if name is None:
        raise LoginRefused("The token names no user.")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise LoginRefused("The user name in the token is too long or has characters that cannot be stored.")
    if name in (NOBODY, ANONYMOUS):
        raise LoginRefused(f"The name {name} is reserved for the server.")
    roles = [Role.ADMIN] if not settings.oauth2_authorization_active else list(roles_of(claims, settings))
    return User(name, claims=claims, roles=roles)


def roles_of(claims: Claims, settings: ApiSettings) -> Iterator[Role]:
    """The roles in claims, by the names in the settings. Unknown names give none."""
    names = settings.oauth2_roles or {role.value: role for role in Role}
    for path in settings.oauth2_roles_claim:
        for given in _texts(_at(claims, path)):
            if given in names:
                yield names[given]


def _at(claims: Any, path: str) -> Any:
    """A claim by its name, which may contain dots, else by the path of the dots."""
    if not isinstance(claims, Mapping):
        return None
    if path in claims:
        return claims[path]
    first, dot, rest = path.partition(".")
    return _at(claims.get(first), rest) if dot else None


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
