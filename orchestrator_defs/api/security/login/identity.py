"""From what a token says to a user with roles."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator_defs.api.security.login.tokens import Claims
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import LoginRefused
from resources.users import Role, User

NOBODY = User("SYSTEM", roles=[Role.ADMIN])
"""Who calls when no login is asked for."""
ANONYMOUS = User("anonymous")
"""Who calls what is open to everybody."""
LONGEST_NAME = 255
"""What rows of processes hold."""


def user_of(claims: Claims, settings: ApiSettings) -> User:
    """The user that claims speak of. Raises LoginRefused when they name nobody."""
    candidates = (claims.get(name) for name in (settings.oauth2_user_claim, "sub", "client_id"))
    name = next((one for one in candidates if isinstance(one, str) and one.strip()), None)
    if name is None:
        raise LoginRefused("The token does not say whose it is.")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise LoginRefused("The token's name of its bearer cannot be written down.")
    if name in (NOBODY, ANONYMOUS):
        raise LoginRefused(f"{name} is a name of the server's own.")
    roles = [Role.ADMIN] if not settings.oauth2_authorization_active else list(roles_of(claims, settings))
    return User(name, claims=claims, roles=roles)


def roles_of(claims: Claims, settings: ApiSettings) -> Iterator[Role]:
    """The roles that claims give, by the names of the settings. A name that stands for none gives none."""
    names = settings.oauth2_roles or {role.value: role for role in Role}
    for path in settings.oauth2_roles_claim:
        for given in _texts(_at(claims, path)):
            if given in names:
                yield names[given]


def _at(claims: Any, path: str) -> Any:
    """A claim by its name, which may have dots itself, else by the path that the dots make."""
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
