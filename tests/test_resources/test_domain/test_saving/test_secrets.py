"""Secrets are kept, and shown nowhere."""

from typing import Annotated

from annotated_types import Len
from pydantic import Field, SecretStr
from sqlalchemy.orm import Session

from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel
from tests.test_resources.test_domain.domain import CUSTOMER, add_product
from tests.test_resources.test_domain.test_saving.holders import stored


class SafeBlock(ProductBlockModel, product_block_name="Persistence Safe"):
    """Values that nobody should see."""

    password: SecretStr | None = None
    tokens: Annotated[list[SecretStr], Len(0, 5)] = Field(default_factory=list)
    open_value: int = 1


class Safe(SubscriptionModel, is_base=True):
    """A subscription with secrets."""

    safe: SafeBlock


def saved_safe() -> Safe:
    safe = Safe.from_product_id(add_product("safe"), CUSTOMER)
    safe.safe.password = SecretStr("sesame")
    safe.safe.tokens = [SecretStr("one"), SecretStr("two")]
    safe.save()
    return safe


def test_secrets_are_kept(session: Session) -> None:
    safe = saved_safe()

    read = Safe.from_subscription(safe.subscription_id)

    assert read == safe
    assert read.safe.password is not None
    assert read.safe.password.get_secret_value() == "sesame"
    assert read.save() is None


def test_secrets_are_in_no_document_and_not_searched(session: Session) -> None:
    row = stored(saved_safe())

    assert "sesame" not in str(row["document"])
    assert "sesame" not in row["search"]
    assert "**" not in row["search"]


def test_a_changed_secret_shows_that_it_changed_and_no_more(session: Session) -> None:
    safe = saved_safe()
    safe.safe.password = SecretStr("open up")
    change = safe.save()

    assert change is not None
    assert change.difference() == [{"path": "safe.password", "before": "**********", "after": "**********"}]
    assert "open up" not in str(change)
