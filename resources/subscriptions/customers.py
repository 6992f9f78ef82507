"""Customers: their ids, and the names of the default one from the settings."""

from dataclasses import dataclass

from resources.settings import settings


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer in lists; one without a name is shown by its id."""

    customer_id: str
    fullname: str
    shortcode: str


def customer_of(customer_id: str) -> Customer:
    """The customer of an id."""
    known = settings()
    if customer_id == known.default_customer_identifier:
        return Customer(customer_id, known.default_customer_fullname, known.default_customer_shortcode)
    return Customer(customer_id, customer_id, customer_id)
