"""What the workflows share: the summary page, and the check before an end."""

from collections.abc import Generator
from typing import Any

from orchestrator.core.forms import SubmitFormPage
from orchestrator.core.forms.validators import migration_summary
from orchestrator.core.types import SubscriptionLifecycle
from pydantic import ConfigDict


def create_summary_form(user_input: dict, product_name: str, fields: list[str]) -> Generator:
    values = [[str(user_input[name])] for name in fields]

    class SummaryForm(SubmitFormPage):
        model_config = ConfigDict(title=f"{product_name} summary")
        product_summary: migration_summary({"labels": fields, "columns": values})

    yield SummaryForm


def is_used(block: Any) -> bool:
    return any(user.subscription.status != SubscriptionLifecycle.TERMINATED for user in block.in_use_by)
