"""The base class of product blocks: how one is made and read, and which blocks use it."""

from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from resources.domain.models.block_model import BlockModel, named_block
from resources.domain.models.new_blocks import new_block
from resources.domain.saving.headers import SubscriptionHeader, subscription_header
from resources.domain.saving.models_from_rows import Assembler
from resources.domain.saving.reading import RelatedBlock, blocks_used_by, blocks_using, read_block, read_product_block
from resources.domain.saving.records import ProductBlockRecord
from resources.types import SubscriptionLifecycle


class ProductBlockModel(BlockModel):
    """The base of all product blocks.

    A class with `product_block_name=` begins a block; classes below it with `lifecycle=[…]` say what the block must
    have in these statuses. Its fields are values of any type that pydantic can write to JSON and read back, and blocks:
    alone, optional, in a list (`Annotated[list[X], Len(2, 10)]`), one of several. A block of another subscription may
    stand in a field; then only that it does is saved, and loading it shows what its owner says of it.
    """

    @classmethod
    def new(cls, subscription_id: UUID, **values: Any) -> Self:
        """Make a block of the subscription, with the blocks that it requires below. Writes nothing.

        Raises pydantic's ValidationError when a value without default is missing, and InvalidBlocks when a field may
        hold blocks of several kinds and none was given.
        """
        made = new_block(cls, subscription_id, values)
        assert isinstance(made, cls)
        return made

    @classmethod
    def from_db(cls, subscription_instance_id: UUID, status: SubscriptionLifecycle | None = None) -> Self:
        """Read a block and everything below it, as the class for `status`, else for the owner's status.

        That is a class below the one it is called on, or that one itself when it requires more than the status does.
        Raises InvalidBlocks when there is no such block or it is of another kind.
        """
        owner_status, blocks = read_block(subscription_instance_id)
        status = status or SubscriptionLifecycle(owner_status)
        found = named_block(cls, blocks.records[subscription_instance_id].product_block, status)
        made = Assembler(blocks, status).block(found, subscription_instance_id)
        assert isinstance(made, cls)
        return made

    @property
    def subscription(self) -> SubscriptionHeader:
        """The header of the owner. Raises UnknownSubscription before the owner was saved."""
        return subscription_header(self.owner_subscription_id)

    @property
    def product_block(self) -> ProductBlockRecord:
        """Its kind, as the catalogue in the database has it."""
        return read_product_block(self.name)

    if not TYPE_CHECKING:  # a checker would accept any name

        def __getattr__(self, name: str) -> Any:
            """The kind's `tag`, `description` and `product_block_id`, unless a field of the block has the name."""
            if name in ("tag", "description", "product_block_id"):
                return getattr(self.product_block, name)
            return super().__getattr__(name)

    @property
    def in_use_by(self) -> list[RelatedBlock]:
        """The saved blocks, of any subscription, that hold this one."""
        return blocks_using([self.subscription_instance_id])

    @property
    def depends_on(self) -> list[RelatedBlock]:
        """The saved blocks, of any subscription, that this one holds."""
        return blocks_used_by([self.subscription_instance_id])
