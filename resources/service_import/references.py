"""Finds the blocks of other subscriptions that rows name: for a whole batch in a constant number of statements."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import JSONB

from resources.database.session import current_session
from resources.database.typed_sql import UUIDS, sql
from resources.domain.models.block_model import BlockModel, resolve
from resources.domain.saving.models_from_rows import Assembler
from resources.domain.saving.reading import read_blocks
from resources.domain.saving.records import Blocks
from resources.errors import InvalidBlocks
from resources.service_import.service_models import Reference, RowRefused
from resources.types import SubscriptionLifecycle

# The index on values answers containment, one wanted value after the other.
_CANDIDATES = sql(
    """
WITH wanted AS (SELECT w ->> 'text' AS text, w -> 'holds' AS holds, CAST(w ->> 'id' AS uuid) AS id
                FROM jsonb_array_elements(:wanted) AS w)
SELECT w.text, i.subscription_instance_id, i.product_block, i.subscription_id
FROM wanted w JOIN subscription_instances i ON i.values @> w.holds
UNION ALL
SELECT w.text, i.subscription_instance_id, i.product_block, i.subscription_id
FROM wanted w JOIN subscription_instances i ON i.subscription_instance_id = w.id
UNION ALL
SELECT w.text, i.subscription_instance_id, i.product_block, i.subscription_id
FROM wanted w JOIN subscription_instances i ON i.subscription_id = w.id
""",
    wanted=JSONB,
)
# Whoever ends or changes an owner waits for us, or we for it.
_OWNERS = sql(
    "SELECT subscription_id, status, locked_by FROM subscriptions WHERE subscription_id = ANY(:owners)"
    " ORDER BY subscription_id FOR SHARE",
    owners=UUIDS,
)


class Neighbours:
    """The blocks that some references name; the subscriptions that own them stay as they are in this transaction."""

    def __init__(self, references: Iterable[Reference]) -> None:
        self._candidates: dict[str, list[tuple[UUID, str, UUID]]] = {}
        self._owners: dict[UUID, tuple[str, UUID | None]] = {}
        self._blocks = Blocks()
        self._made: dict[SubscriptionLifecycle, Assembler] = {}
        self._find([one for text in {one.text for one in references} for one in _wanted(text)])

    def __call__(self, reference: Reference) -> BlockModel:
        """The block. Raises RowRefused if there is not one that fits."""
        fitting = {
            block: (cls, owner)
            for block, kind, owner in self._candidates.get(reference.text, ())
            if (cls := resolve(reference.types, kind, reference.status)) is not None
            and self._owners[owner][0] != SubscriptionLifecycle.TERMINATED
        }
        if len(fitting) != 1:
            many = f"{len(fitting)} blocks are" if fitting else "no block of a subscription that is not terminated is"
            raise RowRefused(
                f"{reference.path}: {many} {reference.text!r}; give its id, that of its subscription, or name=value"
                " with a value that it alone has"
            )
        ((block, (cls, owner)),) = fitting.items()
        if (process := self._owners[owner][1]) is not None:
            raise RowRefused(f"{reference.path}: process {process} is changing subscription {owner}; import it later")
        assembler = self._made.setdefault(reference.status, Assembler(self._blocks, reference.status))
        try:
            return assembler.block(cls, block)
        except (ValidationError, InvalidBlocks) as error:
            sentence = " ".join(str(error).split())
            raise RowRefused(f"{reference.path}: block {block} is no {cls.__name__}: {sentence}") from None

    def _find(self, wanted: list[dict[str, Any]]) -> None:
        if not wanted:
            return
        session = current_session()
        for text, block, kind, owner in session.execute(_CANDIDATES, {"wanted": wanted}):
            self._candidates.setdefault(text, []).append((block, kind, owner))
        found = [one for several in self._candidates.values() for one in several]
        owners = {"owners": sorted({owner for _, _, owner in found})}
        self._owners = {owner: (status, locked) for owner, status, locked in session.execute(_OWNERS, owners)}
        self._blocks = read_blocks({block for block, _, _ in found})


def _wanted(text: str) -> Iterator[dict[str, Any]]:
    """What a block that a text means has: an id, or a value, which may be text or a number."""
    name, sign, value = text.partition("=")
    with suppress(ValueError):
        yield {"text": text, "id": str(UUID(text))}
    if sign:
        yield {"text": text, "holds": {name: value}}
        with suppress(ValueError):
            if isinstance(number := json.loads(value), int | float):
                yield {"text": text, "holds": {name: number}}
