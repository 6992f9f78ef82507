"""Every list understands the same language, and answers any text with entries or a sentence."""

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from resources.database.tables import ProductBlockTable, ProductTable, ResourceTypeTable, WorkflowTable
from resources.errors import InvalidQuery
from resources.processes.process_fields import PROCESS_FIELDS
from resources.searches.catalogue_fields import (
    PRODUCT_BLOCK_FIELDS,
    PRODUCT_FIELDS,
    RESOURCE_TYPE_FIELDS,
    WORKFLOW_FIELDS,
)
from resources.subscriptions.list_fields import ListFields
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from tests.test_resources.test_domain.domain import add_product

LISTS = (
    *(SUBSCRIPTION_FIELDS, PROCESS_FIELDS, PRODUCT_FIELDS),
    *(PRODUCT_BLOCK_FIELDS, RESOURCE_TYPE_FIELDS, WORKFLOW_FIELDS),
)
NAMES = sorted({name for fields in LISTS for name in fields.filter_names})
FREELY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
VALUES = st.text(alphabet='ab1-:*.()|"\\<>=! é', max_size=10) | st.sampled_from(
    ["true", "2024", "5", "active", "*", "a..b"]
)


def found(session: Session, fields: ListFields, text: str) -> int:
    key: Any = fields.fields[0].column
    return session.scalar(sa.select(sa.func.count(key)).where(fields.search(text))) or 0


@FREELY
@given(
    fields=st.sampled_from(LISTS),
    name=st.sampled_from(["", *NAMES]),
    sign=st.sampled_from([":", "=", ">", "<=", "!=", ":("]),
    value=VALUES,
)
def test_any_text_gives_an_answer_or_a_sentence(
    session: Session, fields: ListFields, name: str, sign: str, value: str
) -> None:
    for ask in (
        lambda: found(session, fields, f"{name}{sign if name else ''}{value}"),
        lambda: fields.conditions([(name, value)]),
    ):
        try:
            ask()
        except InvalidQuery as error:
            assert str(error)


def test_near_names_are_those_that_people_use(session: Session) -> None:
    with pytest.raises(InvalidQuery, match="did you mean 'status'"):
        PROCESS_FIELDS.search("statsu:failed")


@pytest.mark.parametrize(
    ("fields", "search"),
    [
        (PRODUCT_FIELDS, "searched"),
        (PRODUCT_FIELDS, "name=searched* -tag:other"),
        (PRODUCT_FIELDS, "created_at>2020 *arche*"),
        (PRODUCT_BLOCK_FIELDS, "searched block"),
        (PRODUCT_BLOCK_FIELDS, 'name="Searched Block"'),
        (RESOURCE_TYPE_FIELDS, "resource_type:searched|description:nothing"),
        (WORKFLOW_FIELDS, "searched target:CREATE is_task:false"),
        (WORKFLOW_FIELDS, "target:(create|modify) *flow*"),
    ],
)
def test_the_catalogue_is_searched(session: Session, fields: ListFields, search: str) -> None:
    add_product("searched thing")
    add_product("else")
    more = {"description": "of the tests"}
    block = {"product_block_id": uuid4(), "name": "Searched Block", "status": "active", **more}
    workflow = {"workflow_id": uuid4(), "name": "searched_flow", "target": "CREATE", **more}
    session.execute(sa.insert(ProductBlockTable).values(block))
    session.execute(sa.insert(ResourceTypeTable).values(resource_type_id=uuid4(), resource_type="searched", **more))
    session.execute(sa.insert(WorkflowTable).values(workflow))
    assert found(session, fields, search) == 1
    assert session.scalar(sa.select(sa.func.count()).select_from(ProductTable)) == 2
