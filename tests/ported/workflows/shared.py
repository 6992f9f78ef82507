"""What several workflows use."""

from orchestrator.core.db import SubscriptionTable, db
from orchestrator.core.forms import SubmitFormPage
from orchestrator.core.types import SubscriptionLifecycle
from orchestrator.core.workflow import step
from pydantic_forms.types import FormGenerator, State, UUIDstr

# How many of them a page shows.
SHOWN = 10


def confirm_form(text: str) -> FormGenerator:
    """A page that is only to be confirmed."""

    class Confirm(SubmitFormPage):
        text_shown: str = text[:SHOWN]

    user_input = yield Confirm
    return user_input.model_dump()


def active_subscriptions() -> int:
    """How many there are."""
    query = db.session.query(SubscriptionTable)
    return query.filter(SubscriptionTable.status == SubscriptionLifecycle.ACTIVE).count()


@step("Count")
def count(subscription_id: UUIDstr) -> State:
    """Count what is active."""
    return {"active": active_subscriptions()}  # as the dashboard does
