"""Customers: by default the one of the settings; an organisation may bring its own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from resources.settings import settings


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer in lists; one without a name is shown by its id."""

    customer_id: str
    fullname: str
    shortcode: str


@runtime_checkable
class Customers(Protocol):
    """Who the customers are. Give yours as the resource `customers` of `build_definitions`.

    Both methods are called in a read-only transaction of the subscription database, so `current_session()` may read a
    table there; both answer for many customers at once.
    """

    def named(self, customer_ids: Collection[str]) -> Sequence[Customer]:
        """The customers of these ids that are known."""

    def listed(self) -> Sequence[Customer]:
        """All customers, by name: what people choose from."""


class DefaultCustomer:
    """The one customer of the settings."""

    def named(self, customer_ids: Collection[str]) -> Sequence[Customer]:
        """That customer, if it is meant."""
        return [one for one in self.listed() if one.customer_id in customer_ids]

    def listed(self) -> Sequence[Customer]:
        """That customer."""
        known = settings()
        return [
            Customer(
                known.default_customer_identifier,
                known.default_customer_fullname,
                known.default_customer_shortcode,
            )
        ]


_customers: Customers = DefaultCustomer()


def use_customers(customers: Customers) -> None:
    """Let all lists of this process name customers so."""
    global _customers
    _customers = customers


def customers() -> Customers:
    """The customers that lists of this process name."""
    return _customers


def customers_of(customer_ids: Collection[str]) -> dict[str, Customer]:
    """The customers of all these ids, in one question; an unknown one is named by its id."""
    wanted = set(customer_ids)
    known = {one.customer_id: one for one in _customers.named(wanted)} if wanted else {}
    return {one: known.get(one) or Customer(one, one, one) for one in wanted}
