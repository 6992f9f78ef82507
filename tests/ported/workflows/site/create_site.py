"""Create a site."""

from orchestrator.core.forms import FormPage
from orchestrator.core.forms.validators import CustomerId, Label
from orchestrator.core.types import SubscriptionLifecycle
from orchestrator.core.workflow import StepList, begin, step
from orchestrator.core.workflows.steps import store_process_subscription
from orchestrator.core.workflows.utils import create_workflow, wrap_create_initial_input_form
from products.product_blocks.site import Kind
from products.product_types.site import SiteInactive, SiteProvisioning
from products.services.description import description
from pydantic import ConfigDict
from pydantic_forms.types import FormGenerator, State, UUIDstr
from services import crm

from workflows.shared import count

LENGTH = 6


def initial_input_form_generator(product_name: str) -> FormGenerator:
    """Ask what it is."""

    class CreateSiteForm(FormPage):
        model_config = ConfigDict(title=product_name)

        customer_id: CustomerId
        label_site: Label
        site_code: str
        kind: Kind = Kind.CORE

    user_input = yield CreateSiteForm
    return user_input.model_dump()


@step("Construct subscription")
def construct_site(product: UUIDstr, customer_id: UUIDstr, site_code: str, kind: Kind) -> State:
    """Make the model."""
    site = SiteInactive.from_product_id(product_id=product, customer_id=customer_id)
    site.site.site_code = site_code[:LENGTH]
    site.site.kind = kind
    site = SiteProvisioning.from_other_lifecycle(site, SubscriptionLifecycle.PROVISIONING)
    site.description = description(site)
    return {"subscription": site, "subscription_id": site.subscription_id}


@step("Register in CRM")
def register_in_crm(subscription: SiteProvisioning) -> State:
    """Tell the CRM."""
    subscription.site.crm_id = crm.register(subscription.site)
    return {"subscription": subscription}


@create_workflow("Create site", initial_input_form=wrap_create_initial_input_form(initial_input_form_generator))
def create_site() -> StepList:
    """A site from nothing."""
    return begin >> construct_site >> store_process_subscription() >> register_in_crm >> count
