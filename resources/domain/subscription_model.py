"""The base class of subscriptions: they are made for a product, read, changed in status, and saved."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

from pydantic import PrivateAttr, ValidationError

from resources.database.session import current_session
from resources.domain.between_lifecycles import Converter
from resources.domain.header_model import HeaderModel, ProductModel, header_values
from resources.domain.models.block_model import BlockModel
from resources.domain.models.lifecycle import ALLOWED_USER_STATUSES, check_fits, check_users, class_for
from resources.domain.models.new_blocks import new_block_fields
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.domain.saving.changes import SubscriptionChange
from resources.domain.saving.documents import Document, make_document, past_record
from resources.domain.saving.models_from_rows import Assembler, plain_values
from resources.domain.saving.reading import blocks_using, read_past, read_product, read_subscription
from resources.domain.saving.records import Blocks, HeaderRecord, ProductRecord, SubscriptionRecord
from resources.domain.saving.rows_from_models import flatten
from resources.domain.saving.search_text import search_vector
from resources.domain.saving.writing import (
    BlockChanges,
    Saved,
    Writing,
    insert_subscription,
    lock_subscription,
    update_insync,
    update_subscription,
)
from resources.errors import OrchestratorError, PastIsReadOnly, UnknownProduct, UnknownSubscription, WrongProduct
from resources.types import SubscriptionLifecycle

INITIAL, ACTIVE, TERMINATED = (
    SubscriptionLifecycle.INITIAL,
    SubscriptionLifecycle.ACTIVE,
    SubscriptionLifecycle.TERMINATED,
)

MAY_USE_TERMINATED = ALLOWED_USER_STATUSES[TERMINATED]

M = TypeVar("M", bound="SubscriptionModel")

SAVED = "saved"
"""The key in a session under which it keeps what was saved."""


@dataclass(frozen=True, slots=True)
class SavedSubscription:
    """A save that wrote something; `change` is None when that was only `insync`."""

    subscription_id: UUID
    change: SubscriptionChange | None


def saved_in_transaction() -> list[SavedSubscription]:
    """What was saved in the current transaction since the last call, in order. Raises NoTransaction."""
    saved: list[SavedSubscription] = current_session().info.pop(SAVED, [])
    return saved


class SubscriptionModel(HeaderModel):
    """The base of all subscriptions: a customer's instance of a product.

    A class with `is_base=True` begins the family of a product; classes below it with `lifecycle=[…]` declare what a
    subscription must have in these statuses. Its own fields are fixed inputs, whose values the product gives, and
    blocks. All methods use the current transaction; none commits.

    Called on SubscriptionModel itself, they use the class in the registry; a class of a family is used as it is, and
    must be of the product's family.
    """

    _known: SubscriptionRecord | None = PrivateAttr(None)
    """The own rows as read, which a save compares; None before the first save."""
    _is_past: bool = PrivateAttr(False)

    @property
    def is_new(self) -> bool:
        """Whether this model was never read and never saved."""
        return self._known is None

    @classmethod
    def from_product_id(
        cls,
        product_id: UUID | str,
        customer_id: str,
        status: SubscriptionLifecycle = INITIAL,
        description: str | None = None,
        insync: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        note: str | None = None,
        version: int = 1,
    ) -> Self:
        """Make a new subscription with the blocks that it requires. Writes nothing.

        Raises UnknownProduct, ProductNotInRegistry, WrongProduct, and InvalidLifecycle when the class does not fit the
        status.
        """
        product = read_product(_uuid(product_id, UnknownProduct))
        model = cls._class_for(product.name, status)
        subscription_id = uuid4()
        return model(
            product=ProductModel.of(product),
            customer_id=customer_id,
            subscription_id=subscription_id,
            status=status,
            description=description or f"Initial subscription of {product.description}",
            insync=insync,
            start_date=start_date,
            end_date=end_date,
            note=note,
            version=version,
            **new_block_fields(model, subscription_id, plain_values(model, product.fixed_inputs)),
        )

    @classmethod
    def from_subscription(cls, subscription_id: UUID | str) -> Self:
        """Read a whole subscription, with the blocks that it uses of others.

        Raises UnknownSubscription, ProductNotInRegistry, WrongProduct, InvalidLifecycle when the class does not fit the
        status, and pydantic's ValidationError when the rows do not fit the class.
        """
        return cls.from_record(*read_subscription(_uuid(subscription_id, UnknownSubscription)))

    @classmethod
    def as_of(cls, subscription_id: UUID | str, moment: datetime | int) -> Self:
        """Read a subscription as it was at a time, or in a version, with the blocks that it used of others then.

        It cannot be saved; secrets are masked, and `insync`, which has no history, is False. Raises as
        `from_subscription`; UnknownSubscription also when it did not exist then.
        """
        key = _uuid(subscription_id, UnknownSubscription)
        past = read_past(key, moment)
        documents = {each: version.document for each, version in past.items()}
        subscription = cls.from_record(*past_record(documents, key, past[key].version))
        subscription._is_past = True
        return subscription

    @classmethod
    def from_other_lifecycle(
        cls, other: "SubscriptionModel", status: SubscriptionLifecycle, skip_validation: bool = False
    ) -> Self:
        """Make the same subscription in another status, with the class for it; ids stay, `other` does not change.

        Becoming active sets `start_date`, terminated `end_date`, when they are empty. Blocks that only the new class
        has are made. Raises InvalidLifecycle with the other subscriptions that use a block of this one, at any depth,
        and do not allow the new status (not with `skip_validation`), and pydantic's ValidationError when the new status
        requires something that is missing. TERMINATED keeps others from using a block of it until the transaction ends.
        """
        status = SubscriptionLifecycle(status)
        model = cls._class_for(other.product.name, status)
        if not skip_validation:
            other._check_users(status)
        subscription = other._as(model, status, _shared_values(model, other), {})
        now = datetime.now(UTC)
        if status == ACTIVE and subscription.start_date is None:
            subscription.start_date = now
        if status == TERMINATED and subscription.end_date is None:
            subscription.end_date = now
        return subscription

    @classmethod
    def from_other_product(
        cls, old: "SubscriptionModel", new_product_id: UUID | str, new_root: tuple[str, BlockModel] | None = None
    ) -> Self:
        """Make the same subscription of another product: with its fixed inputs and the blocks of its class.

        `new_root`: (field, block) that replaces the old block in that field. Raises UnknownProduct,
        ProductNotInRegistry, WrongProduct, InvalidLifecycle, and InvalidBlocks when an old block does not fit.
        """
        return cls.of_product(old, read_product(_uuid(new_product_id, UnknownProduct)), new_root)

    @classmethod
    def of_product(
        cls, old: "SubscriptionModel", product: ProductRecord, new_root: tuple[str, BlockModel] | None = None
    ) -> Self:
        """As `from_other_product`, of a product whose row is read."""
        model = cls._class_for(product.name, old.status)
        return old._as(
            model,
            old.status,
            plain_values(model, product.fixed_inputs),
            dict([new_root]) if new_root else {},
            product=ProductModel.of(product),
        )

    @classmethod
    def from_record(cls, record: SubscriptionRecord, product: ProductRecord) -> Self:
        """Make a subscription of rows that were read already. Raises as `from_subscription`."""
        status = SubscriptionLifecycle(record.header.status)
        subscription_id = record.header.subscription_id
        try:
            model = cls._class_for(product.name, status)
            subscription = model(
                **header_values(record.header, product),
                insync=record.insync,
                version=record.version,
                **plain_values(model, product.fixed_inputs),
                **Assembler(record.blocks, status).root_fields(model, subscription_id),
            )
        except (OrchestratorError, ValidationError) as error:
            error.add_note(f"This is {product.name} subscription {subscription_id}, version {record.version}.")
            raise
        subscription._known = replace(record, blocks=record.blocks.own(subscription_id))
        return subscription

    def replacing(self, other: "SubscriptionModel") -> Self:
        """This one, to be saved as the next version of another with the same id, which was read."""
        self._known, self.version = other._known, other.version
        return self

    def save(self) -> SubscriptionChange | None:
        """Write what has changed, in a constant number of statements.

        Returns None, and sends nothing, when nothing has. `insync` alone is written without a new version. Raises
        StaleSubscription when another has saved in between, UnknownSubscription when the row is gone, BlockInUse when
        another subscription uses a block to remove (then nothing is written), InvalidBlocks (also when it uses a block
        that is gone, or of a terminated subscription), SubscriptionLocked when it begins to use a block of a
        subscription that another process is changing, InvalidLifecycle, PastIsReadOnly, and pydantic's ValidationError
        when an element of a list does not fit. After an error, or a rollback of the transaction, read the subscription
        again.
        """
        if self._is_past:
            raise PastIsReadOnly(
                f"Subscription {self.subscription_id} was read in its version {self.version}, which cannot be "
                "saved. Read the present one with from_subscription."
            )
        check_fits(type(self), self.status)
        known, flat, header = self._known, flatten(self, self.subscription_id), self.header_record()
        before = known.blocks if known else Blocks()
        flat = flat.keeping_unknown(before)
        changes = BlockChanges.between(before, flat.blocks)
        if known and not changes and header == known.header:
            self._save_insync(known)
            return None
        saved, document = self._write(header, flat.blocks, changes)
        self.version = saved.version
        self._known = SubscriptionRecord(header, self.insync, saved.version, flat.blocks)
        secrets = flat.changed_secrets(before)
        change = SubscriptionChange(self.subscription_id, saved.version, saved.document_before, document, secrets)
        self._record_saved(change)
        return change

    # --- how it is done ---

    @classmethod
    def _class_for(cls, product_name: str, status: SubscriptionLifecycle) -> type[Self]:
        if cls.__base_type__ is not None:
            registered = SUBSCRIPTION_MODEL_REGISTRY.get(product_name)
            if registered is not None and registered.__base_type__ is not cls.__base_type__:
                raise WrongProduct(
                    f"Product {product_name!r} is modelled by {registered.__name__}, which is not a {cls.__name__}."
                )
            check_fits(cls, status)
            return cls
        model = class_for(SUBSCRIPTION_MODEL_REGISTRY[product_name], status)
        if not issubclass(model, cls):
            raise WrongProduct(
                f"Product {product_name!r} is modelled by {model.__name__}, which is not a {cls.__name__}."
            )
        return model

    def _as(
        self,
        model: type[M],
        status: SubscriptionLifecycle,
        fixed_inputs: Mapping[str, Any],
        given: Mapping[str, BlockModel],
        product: ProductModel | None = None,
    ) -> M:
        converter = Converter(self.subscription_id, status)
        subscription = model(
            product=product or self.product,
            customer_id=self.customer_id,
            subscription_id=self.subscription_id,
            description=self.description,
            status=status,
            insync=self.insync,
            start_date=self.start_date,
            end_date=self.end_date,
            note=self.note,
            version=self.version,
            **fixed_inputs,
            **converter.block_fields(model, self, given),
        )
        subscription._known, subscription._is_past = self._known, self._is_past
        return subscription

    def _check_users(self, status: SubscriptionLifecycle) -> None:
        if self._known is None or ALLOWED_USER_STATUSES[status].issuperset(SubscriptionLifecycle):
            return
        if status == TERMINATED:
            # A statement of its own: a statement that waited for the lock would not see the changes it waited for.
            lock_subscription(self.subscription_id)
        users = blocks_using(self._known.blocks.records)
        user_statuses = [(user.subscription_id, user.status) for user in users]
        check_users(self.subscription_id, status, (user for user in user_statuses if user[0] != self.subscription_id))

    def _write(self, header: HeaderRecord, blocks: Blocks, changes: BlockChanges) -> tuple[Saved, Document]:
        document = make_document(self, header, self.product.model_dump(mode="json"))
        known = self._known
        # While INITIAL it did not keep the owners from being terminated.
        rises = known is not None and known.header.status != header.status and self.status not in MAY_USE_TERMINATED
        writing = Writing(
            header=header,
            blocks=blocks,
            changes=changes,
            document=document,
            search=search_vector(document),
            version=known.version if known else self.version,
            insync=None if known and known.insync == self.insync else self.insync,
            used=blocks.foreign() if rises else changes.added,
        )
        return update_subscription(writing) if known else insert_subscription(writing), document

    def _save_insync(self, known: SubscriptionRecord) -> None:
        if self.insync != known.insync:
            update_insync(self.subscription_id, known.version, self.insync)
            self._known = replace(known, insync=self.insync)
            self._record_saved(None)

    def _record_saved(self, change: SubscriptionChange | None) -> None:
        current_session().info.setdefault(SAVED, []).append(SavedSubscription(self.subscription_id, change))


def _shared_values(model: type[SubscriptionModel], other: SubscriptionModel) -> dict[str, Any]:
    known = other.plain_fields()
    return {name: getattr(other, name) for name in model.plain_fields() if name in known}


def _uuid(value: UUID | str, error: type[OrchestratorError]) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (AttributeError, TypeError, ValueError):
        raise error(f"{value!r} is not an id; expected a UUID.") from None
