"""Modify a site."""

from orchestrator.core.forms import FormPage
from orchestrator.core.workflow import StepList, begin, step
from orchestrator.core.workflows.utils import modify_workflow, wrap_modify_initial_input_form
from products.product_types.site import Site
from pydantic_forms.types import FormGenerator, State, UUIDstr


def initial_input_form_generator(subscription_id: UUIDstr) -> FormGenerator:
    """Ask for another code."""
    site = Site.from_subscription(subscription_id)

    class ModifySiteForm(FormPage):
        site_code: str = site.site.site_code

    user_input = yield ModifySiteForm
    return user_input.model_dump()


@step("Update subscription")
def update_site(subscription: Site, site_code: str) -> State:
    """Give it the code."""
    subscription.site.site_code = site_code
    return {"subscription": subscription}


@modify_workflow("Modify site", initial_input_form=wrap_modify_initial_input_form(initial_input_form_generator))
def modify_site() -> StepList:
    """Another code."""
    return begin >> update_site
