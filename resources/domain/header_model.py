"""The shape of a subscription: the header that all have, and the keywords that place a class in its family."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID, uuid4

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field

from resources.domain.models.declaration import DomainModel, declare, refuse_taken_names, refuse_unknown_keywords
from resources.domain.models.lifecycle import check_fits
from resources.domain.saving.records import HeaderRecord, ProductRecord
from resources.types import ProductLifecycle, SubscriptionLifecycle

KEYWORDS = ("is_base", "lifecycle")
STATUSES = frozenset(SubscriptionLifecycle)


def _blank_is_none(note: Any) -> Any:
    return None if isinstance(note, str) and not note.strip() else note


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a moment is within the years 1 to 9999 in UTC") from None


# In UTC, so that the same moment is always the same text in documents.
UtcDatetime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Note = Annotated[Annotated[str, Field(max_length=5000)] | None, BeforeValidator(_blank_is_none)]


class ProductModel(BaseModel):
    """The product of a subscription, as the catalogue in the database has it."""

    product_id: UUID
    name: str
    description: str
    product_type: str
    tag: str
    status: ProductLifecycle
    created_at: UtcDatetime | None = None
    end_date: UtcDatetime | None = None

    @classmethod
    def of(cls, record: ProductRecord) -> "ProductModel":
        """The model of a row."""
        return cls(**{name: getattr(record, name) for name in cls.model_fields})


class HeaderModel(DomainModel):
    """The fields of every subscription. A class with `is_base=True` begins the family of a product."""

    __common__: ClassVar[frozenset[str]] = frozenset(
        {"product", "customer_id", "subscription_id", "description", "status"}
        | {"insync", "start_date", "end_date", "note", "version"}
    )

    product: ProductModel
    customer_id: str = Field(max_length=255)
    subscription_id: UUID = Field(default_factory=uuid4, frozen=True)
    description: str = Field("Initial subscription", max_length=2000)
    status: SubscriptionLifecycle = SubscriptionLifecycle.INITIAL
    insync: bool = False
    start_date: UtcDatetime | None = None
    end_date: UtcDatetime | None = None
    note: Note = None
    version: int = Field(1, ge=1)

    def __init_subclass__(
        cls, is_base: bool = False, lifecycle: list[SubscriptionLifecycle] | None = None, **unknown: Any
    ) -> None:
        refuse_unknown_keywords(cls, unknown, KEYWORDS)
        refuse_taken_names(cls)
        if is_base:
            cls.__base_type__ = cls

    @classmethod
    def __pydantic_init_subclass__(
        cls, is_base: bool = False, lifecycle: list[SubscriptionLifecycle] | None = None, **_: Any
    ) -> None:
        declare(cls, lifecycle)

    def __new__(cls, *_: Any, status: Any = None, **__: Any) -> Self:
        # Before pydantic, which would wrap the error. Pydantic refuses what is no status at all.
        if isinstance(status, str) and status in STATUSES:
            check_fits(cls, SubscriptionLifecycle(status))
        return super().__new__(cls)

    def header_record(self) -> HeaderRecord:
        """The header as a row."""
        return HeaderRecord(
            subscription_id=self.subscription_id,
            product_id=self.product.product_id,
            customer_id=self.customer_id,
            description=self.description,
            status=str(self.status),
            start_date=self.start_date,
            end_date=self.end_date,
            note=self.note,
        )


def header_values(record: HeaderRecord, product: ProductRecord) -> Mapping[str, Any]:
    """The arguments that fill the header of a model, `insync` and `version` apart."""
    return {
        "product": ProductModel.of(product),
        "customer_id": record.customer_id,
        "subscription_id": record.subscription_id,
        "description": record.description,
        "status": record.status,
        "start_date": record.start_date,
        "end_date": record.end_date,
        "note": record.note,
    }
