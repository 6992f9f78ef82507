"""Which class of a family is for which status, and which changes of status the users of a block allow."""

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from resources.errors import InvalidLifecycle, ModelDeclarationError
from resources.types import SubscriptionLifecycle

INITIAL, ACTIVE, MIGRATING, DISABLED, TERMINATED, PROVISIONING = (
    SubscriptionLifecycle.INITIAL,
    SubscriptionLifecycle.ACTIVE,
    SubscriptionLifecycle.MIGRATING,
    SubscriptionLifecycle.DISABLED,
    SubscriptionLifecycle.TERMINATED,
    SubscriptionLifecycle.PROVISIONING,
)

ALLOWED_USER_STATUSES: dict[SubscriptionLifecycle, frozenset[SubscriptionLifecycle]] = {
    INITIAL: frozenset({INITIAL}),
    ACTIVE: frozenset(SubscriptionLifecycle),
    MIGRATING: frozenset({INITIAL, MIGRATING, TERMINATED}),
    PROVISIONING: frozenset({INITIAL, PROVISIONING, ACTIVE, TERMINATED}),
    TERMINATED: frozenset({INITIAL, TERMINATED}),
    DISABLED: frozenset({INITIAL, DISABLED, TERMINATED}),
}
"""New status of a subscription -> the statuses that other subscriptions which use its blocks may have then."""


class Specialised:
    """A class of a family: one base, and classes below it that declare their statuses."""

    __base_type__: ClassVar[type[Any] | None] = None
    """The class that began the family; None on a class without a family."""
    __lifecycles__: ClassVar[tuple[SubscriptionLifecycle, ...]] = ()
    """The statuses this very class was declared for; empty on the base."""


S = TypeVar("S", bound=Specialised)

_specialisations: dict[tuple[type[Any], SubscriptionLifecycle], type[Any]] = {}


def register(cls: type[Specialised]) -> None:
    """Register a class for its statuses in its family. Raises ModelDeclarationError when another has one."""
    base = cls.__base_type__
    if base is None:
        return
    for status in cls.__lifecycles__:
        other = _specialisations.setdefault((base, status), cls)
        if other is not cls:
            raise ModelDeclarationError(
                f"{cls.__name__} and {other.__name__} both claim status {status} of {base.__name__}; one class may."
            )


def forget(cls: type[Specialised]) -> None:
    """Undo `register`, for a class with an error in its declaration."""
    for key in [key for key, registered in _specialisations.items() if registered is cls]:
        del _specialisations[key]


def class_for(cls: type[S], status: SubscriptionLifecycle) -> type[S]:
    """The class of the family for a status: the one declared for it, else the base; `cls` itself without a family."""
    base = cls.__base_type__
    if base is None:
        return cls
    found: type[S] = _specialisations.get((base, status), base)
    return found


def family(base: type[S]) -> list[type[S]]:
    """The base and the classes declared for a status, each once."""
    found: list[type[S]] = [base]
    found += [cls for (begun_by, _), cls in _specialisations.items() if begun_by is base]
    return list(dict.fromkeys(found))


def fits(cls: type[Specialised], status: SubscriptionLifecycle) -> bool:
    """Whether the class requires at least as much as the status does."""
    return issubclass(cls, class_for(cls, status))


def check_fits(cls: type[Specialised], status: SubscriptionLifecycle) -> None:
    """Raise InvalidLifecycle when class and status do not fit."""
    if not fits(cls, status):
        raise InvalidLifecycle(
            f"{cls.__name__} is not valid for status {status}; a subscription in that status is a "
            f"{class_for(cls, status).__name__}."
        )


def check_users(subscription: object, status: SubscriptionLifecycle, users: Iterable[tuple[object, str]]) -> None:
    """Raise InvalidLifecycle with the users, (subscription id, status), that do not allow the new status."""
    allowed = ALLOWED_USER_STATUSES[status]
    unfit = sorted({f"{user} ({its_status})" for user, its_status in users if its_status not in allowed})
    if unfit:
        raise InvalidLifecycle(
            f"Subscription {subscription} cannot become {status} while its blocks are in use by {', '.join(unfit)}; "
            f"a user of them may then only be {', '.join(sorted(allowed))}."
        )
