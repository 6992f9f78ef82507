"""Catalogues of one node, small enough to be changed by a test."""

from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from resources.catalogue.catalogue import Catalogue, WorkflowEntry
from resources.database.tables import ProductTable
from resources.types import Target
from tests.test_resources.test_domain.samples import block, model, product


class Speed(StrEnum):
    FAST = "fast"
    SLOW = "slow"


def node(**fields: Any) -> Catalogue:
    """One product `Node` with one block `Node` of these values."""
    return Catalogue([product(model("NodeModel", {"node": block("Node", fields)}))])


def details(catalogue: Catalogue, **options: bool) -> list[str]:
    return [str(change) for change in catalogue.plan(**options)]


def row(session: Session, name: str = "Node") -> ProductTable:
    session.expire_all()
    return session.query(ProductTable).filter_by(name=name).one()


CREATE_NODE = WorkflowEntry("create_node", Target.CREATE, "Create a node", False, ("Node",))


BLOCK = block("Node", {"node_name": str})


PLAIN = model("PlainModel", {"node": BLOCK})


WITH_SPEED = model("SpeedModel", {"speed": Speed, "node": BLOCK})
