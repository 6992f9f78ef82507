"""Brings many subscriptions up to their models: what reading makes of their rows is written, and found by searches."""

from collections.abc import Callable, Iterable
from uuid import UUID

from pydantic import ValidationError

from resources.domain.saving.documents import make_document
from resources.domain.saving.reading import read_ahead, read_products
from resources.domain.saving.records import ProductRecord, SubscriptionRecord
from resources.domain.saving.rows_from_models import flatten
from resources.domain.saving.search_text import search_vector
from resources.domain.saving.writing import BlockChanges, Writing, rewrite_subscriptions
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import OrchestratorError

GoesTo = Callable[[SubscriptionModel], UUID | None]


def refresh(subscription_ids: Iterable[UUID], goes_to: GoesTo) -> dict[UUID, str]:
    """Write what has changed of these subscriptions, and return why others cannot be read, by id.

    `goes_to` gives the product to which one goes over, None for its own. A changed value or product makes a version.
    The rows must be locked; the caller commits. The number of statements does not depend on how many they are.
    """
    faults: dict[UUID, str] = {}
    found: list[tuple[SubscriptionModel, SubscriptionRecord, UUID | None]] = []
    for record, product in (one.rows for one in read_ahead(subscription_ids).values()):
        key = record.header.subscription_id
        try:
            model = SubscriptionModel.from_record(record, product)
            found.append((model, record, goes_to(model)))
        except (OrchestratorError, ValidationError) as error:
            faults[key] = _sentence(error)
    products = read_products({target for _, _, target in found if target})
    writings: list[Writing] = []
    for model, record, target in found:
        try:
            writings.append(_writing(model, record, products[target] if target else None))
        except (OrchestratorError, ValidationError) as error:
            faults[record.header.subscription_id] = _sentence(error)
    if writings:
        rewrite_subscriptions(writings)
    return faults


def _writing(model: SubscriptionModel, record: SubscriptionRecord, product: ProductRecord | None) -> Writing:
    if product is not None:
        model = SubscriptionModel.of_product(model, product)
    header = model.header_record()
    before = record.blocks.own(model.subscription_id)
    blocks = flatten(model, model.subscription_id).keeping_unknown(before).blocks
    document = make_document(model, header, model.product.model_dump(mode="json"))
    return Writing(
        header=header,
        blocks=blocks,
        changes=BlockChanges.between(before, blocks),
        document=document,
        search=search_vector(document),
        version=record.version,
        insync=None,
        used=frozenset(),
    )


def _sentence(error: OrchestratorError | ValidationError) -> str:
    """The error in one line, with the notes that say where."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        text = f"{'.'.join(map(str, (error.title, *first['loc'])))}: {first['msg']}"
    else:
        text = str(error)
    return " ".join([text, *getattr(error, "__notes__", ())])
