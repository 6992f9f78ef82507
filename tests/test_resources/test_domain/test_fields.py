"""Annotations are read as people mean them, and refused where blocks cannot stand."""

from typing import Annotated, Any

import pytest
from annotated_types import Len, MaxLen, MinLen
from pydantic import Field, SecretStr

from resources.domain.blocks import ProductBlockModel
from resources.domain.models.fields import BlockField, PlainField
from resources.errors import ModelDeclarationError


class LeafBlock(ProductBlockModel, product_block_name="Fields Leaf"):
    """A block without fields."""


class OtherLeafBlock(ProductBlockModel, product_block_name="Fields Other Leaf"):
    """Another."""


Pair = Annotated[list[LeafBlock], Len(2, 2)]


class AllBlock(ProductBlockModel, product_block_name="Fields All"):
    """One field of each kind."""

    required: LeafBlock
    optional: LeafBlock | None = None
    some: list[LeafBlock]
    pair: Pair
    bounded: Annotated[list[LeafBlock], MinLen(1), MaxLen(3)]
    by_field: list[LeafBlock] = Field(min_length=4, max_length=5)
    one_of: LeafBlock | OtherLeafBlock
    some_of: list[LeafBlock | OtherLeafBlock]
    itself: "AllBlock | None" = None
    text: str
    number: int | None
    numbers: list[int]
    tags: set[str]
    secret: SecretStr | None = None
    secrets: dict[str, SecretStr]


def block_field(name: str) -> BlockField:
    return AllBlock.block_fields()[name]


def plain_field(name: str) -> PlainField:
    return AllBlock.plain_fields()[name]


def test_fields_are_split_into_blocks_and_values() -> None:
    assert list(AllBlock.block_fields()) == [
        "required", "optional", "some", "pair", "bounded", "by_field", "one_of", "some_of", "itself",
    ]  # fmt: skip
    assert list(AllBlock.plain_fields()) == ["text", "number", "numbers", "tags", "secret", "secrets"]


@pytest.mark.parametrize(
    ("name", "is_list", "is_optional"),
    [
        ("required", False, False),
        ("optional", False, True),
        ("some", True, False),
        ("pair", True, False),
        ("one_of", False, False),
        ("some_of", True, False),
        ("itself", False, True),
    ],
)
def test_shape_of_a_block_field(name: str, is_list: bool, is_optional: bool) -> None:
    assert (block_field(name).is_list, block_field(name).is_optional) == (is_list, is_optional)


@pytest.mark.parametrize(
    ("name", "limits"), [("some", (0, None)), ("pair", (2, 2)), ("bounded", (1, 3)), ("by_field", (4, 5))]
)
def test_lengths_of_a_list_of_blocks(name: str, limits: tuple[int, int | None]) -> None:
    assert (block_field(name).min_length, block_field(name).max_length) == limits


def test_a_union_keeps_its_classes_in_order() -> None:
    assert block_field("one_of").types == block_field("some_of").types == (LeafBlock, OtherLeafBlock)


def test_a_class_may_name_itself() -> None:
    assert block_field("itself").types == (AllBlock,)


def test_secrets_are_seen_at_any_depth() -> None:
    assert [name for name, field in AllBlock.plain_fields().items() if field.is_secret] == ["secret", "secrets"]


def test_sets_are_unordered() -> None:
    assert [name for name, field in AllBlock.plain_fields().items() if field.is_unordered] == ["tags"]


def test_what_a_missing_value_stands_for() -> None:
    absent = {name: field.absent for name, field in AllBlock.plain_fields().items()}

    assert absent == {"text": ..., "number": None, "numbers": [], "tags": ..., "secret": None, "secrets": ...}


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (LeafBlock | int, r"BadBlock\.field mixes blocks with int; a field of blocks holds one block"),
        (dict[str, LeafBlock], r"BadBlock\.field mixes blocks with dict; a field of blocks holds one block"),
        (tuple[LeafBlock, ...], r"BadBlock\.field mixes blocks with tuple; a field of blocks holds one block"),
        (list[LeafBlock] | None, r"BadBlock\.field: a list of blocks is empty rather than None"),
        (list[LeafBlock | None], r"BadBlock\.field: a list of blocks cannot have gaps"),
        (list[list[LeafBlock]], r"BadBlock\.field mixes blocks with list; a field of blocks holds one block"),
    ],
)
def test_blocks_where_they_cannot_stand_are_refused(annotation: Any, message: str) -> None:
    with pytest.raises(ModelDeclarationError, match=message):
        type(
            "BadBlock",
            (ProductBlockModel,),
            {"__annotations__": {"field": annotation}, "__module__": __name__},
            product_block_name="Fields Bad",
        )
