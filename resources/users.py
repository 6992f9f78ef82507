"""A user: a name with the claims of the identity provider."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Role(StrEnum):
    """What a user may do, from least to most; each role includes those before it.

    viewer: read. operator: start, answer, retry and abort processes, write notes. engineer: work in Dagster's page,
    resume and delete tasks, make schedules. admin: pause the engine, edit the catalogue, see the settings.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether this role permits all that `other` permits."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class User(str):
    """A user's name, as rows and ledgers keep it; authorisation callbacks may read its `claims` and `roles`."""

    __slots__ = ("claims", "doubt", "roles")

    claims: Mapping[str, Any]
    roles: frozenset[Role]
    doubt: str

    def __new__(
        cls, name: str, *, claims: Mapping[str, Any] | None = None, roles: Collection[Role] = (), doubt: str = ""
    ) -> "User":
        """`claims` are those of the verified token, empty without a login. `doubt` is a sentence that says why nobody
        knows whether this is the user; such a one may do only what everybody may.
        """
        user = super().__new__(cls, name)
        user.claims = MappingProxyType(dict(claims or {}))
        user.roles = frozenset(roles)
        user.doubt = doubt
        return user

    def __deepcopy__(self, _memo: object) -> "User":
        """It is immutable; forms copy the state that contains it."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: an immutable mapping cannot be pickled."""
        return _made, (str(self), dict(self.claims), self.roles, self.doubt)

    def has_role(self, role: Role) -> bool:
        """Whether one of the roles includes this one."""
        return any(own.includes(role) for own in self.roles)


def _made(name: str, claims: Mapping[str, Any], roles: Collection[Role], doubt: str) -> User:
    return User(name, claims=claims, roles=roles, doubt=doubt)


SYSTEM = User("SYSTEM", roles=[Role.ADMIN])
"""The engine itself, and whoever works at a door without a login."""
