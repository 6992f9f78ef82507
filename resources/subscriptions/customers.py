"""Who the customers are: their ids, and the names of the one that the settings know."""

from dataclasses import dataclass

from resources.settings import settings


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as lists show it; one that nobody has named is called by its id."""

    customer_id: str
    fullname: str
    shortcode: str


def customer_of(customer_id: str) -> Customer:
    """The customer of an id. No statement."""
    known = settings()
    if customer_id == known.default_customer_identifier:
        return Customer(customer_id, known.default_customer_fullname, known.default_customer_shortcode)
    return Customer(customer_id, customer_id, customer_id)
