"""What the page about the query language shows can be asked of the shipped products."""

import re
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.products.node import Node
from resources.products.port import Port
from resources.subscriptions.lists import count_subscriptions
from resources.subscriptions.search import search_condition
from tests.test_resources.test_domain.samples import registry_kept

PAGE = Path(__file__).parents[3] / "docs" / "query_language.md"
ROW = re.compile(r"^\| (`.*?`.*?) \| ", re.MULTILINE)
EXAMPLES = [
    example.replace("\\|", "|")
    for cell in ROW.findall(PAGE.read_text().replace("\\|", "\0"))
    for example in re.findall(r"`([^`]+)`", cell.replace("\0", "\\|"))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_answered(session: Session, example: str) -> None:
    with registry_kept():
        SUBSCRIPTION_MODEL_REGISTRY.update({"Node": Node, "Port": Port})
        assert count_subscriptions([search_condition(example)]) >= 0


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) > 20
