"""Who acts: a name that knows what the identity provider says of its bearer."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Role(StrEnum):
    """What somebody may do, from least to most; each may all that those before it may.

    viewer: look. operator: start, answer, retry and abort processes, write notes. engineer: work in Dagster's page,
    resume and delete tasks, make schedules. admin: pause the engine, edit the catalogue, see the settings.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether this role may all that `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class User(str):
    """A user's name, which rows and ledgers keep; authorisation callbacks may ask it for `claims` and `roles`."""

    __slots__ = ("claims", "roles")

    claims: Mapping[str, Any]
    roles: frozenset[Role]

    def __new__(cls, name: str, *, claims: Mapping[str, Any] | None = None, roles: Collection[Role] = ()) -> "User":
        """`claims` are those of the verified token, empty when nobody logged in."""
        user = super().__new__(cls, name)
        user.claims = MappingProxyType(dict(claims or {}))
        user.roles = frozenset(roles)
        return user

    def __deepcopy__(self, _memo: object) -> "User":
        """Nothing in it changes; forms copy the state that it stands in."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: a mapping that cannot be changed cannot be sent either."""
        return _made, (str(self), dict(self.claims), self.roles)

    def has_role(self, role: Role) -> bool:
        """Whether one of the roles includes this one."""
        return any(own.includes(role) for own in self.roles)


def _made(name: str, claims: Mapping[str, Any], roles: Collection[Role]) -> User:
    return User(name, claims=claims, roles=roles)
