"""The changes of a subscription between two of its documents."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict
from uuid import UUID

from resources.domain.saving.documents import ID, Document, is_block, is_block_list
from resources.domain.saving.search_text import MASK


class Difference(TypedDict):
    """A value that differs, as JSON. In `path` a block in a list has its position after the change."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """The effect of one save. Documents are JSON with secrets masked; `before` is None for a new subscription."""

    subscription_id: UUID
    version: int
    before: Document | None
    after: Document
    changed_secrets: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    """(block id, field) of secrets that changed, which masked documents cannot show."""

    def difference(self) -> list[Difference]:
        """The values that differ, as a flat list in the order of the document; secrets masked."""
        return list(_Comparison(self.changed_secrets).fields("", self.before or {}, self.after))


def difference(before: Document | None, after: Document) -> list[Difference]:
    """Compare two documents of a subscription. Blocks in lists are matched by id, so a moved block is only moved."""
    return list(_Comparison(frozenset()).fields("", before or {}, after))


class _Comparison:
    def __init__(self, changed_secrets: frozenset[tuple[str, str]]) -> None:
        self._changed_secrets = changed_secrets

    def fields(self, path: str, before: Document, after: Document) -> Iterator[Difference]:
        for name in dict.fromkeys((*after, *before)):
            here = f"{path}.{name}" if path else name
            if is_block(after) and (after[ID], name) in self._changed_secrets:
                yield Difference(path=here, before=MASK, after=MASK)
            else:
                yield from self._values(here, before.get(name), after.get(name))

    def _values(self, path: str, before: Any, after: Any) -> Iterator[Difference]:
        same_block = is_block(before) and is_block(after) and before[ID] == after[ID]
        if same_block or (path == "product" and isinstance(before, dict)):
            yield from self.fields(path, before, after)
        elif is_block_list(before) or is_block_list(after):
            yield from self._lists(path, before or [], after or [])
        elif before != after:
            yield Difference(path=path, before=before, after=after)

    def _lists(self, path: str, before: list[Document], after: list[Document]) -> Iterator[Difference]:
        old = {block[ID]: block for block in before}
        new = {block[ID]: block for block in after}
        for position, block in enumerate(after):
            yield from self._values(f"{path}.{position}", old.get(block[ID]), block)
        for position, block in enumerate(before):
            if block[ID] not in new:
                yield Difference(path=f"{path}.{position}", before=block, after=None)
        stayed = [key for key in old if key in new]
        order = [key for key in new if key in old]
        if stayed != order:
            yield Difference(path=path, before=stayed, after=order)
