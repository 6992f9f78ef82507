"""The block of a site."""

from orchestrator.core.domain.base import ProductBlockModel
from orchestrator.core.types import SubscriptionLifecycle, strEnum
from pydantic import computed_field


class Kind(strEnum):
    """What a site is for."""

    CORE = "core"
    EDGE = "edge"


class SiteBlockInactive(ProductBlockModel, product_block_name="Ported Site"):
    """A site that may not exist yet."""

    site_code: str | None = None
    kind: Kind | None = None
    crm_id: int | None = None


class SiteBlockProvisioning(SiteBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A site that is being built."""

    site_code: str
    kind: Kind
    crm_id: int | None = None

    @computed_field
    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.kind} site {self.site_code}"


class SiteBlock(SiteBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A site in use."""

    site_code: str
    kind: Kind
    crm_id: int
