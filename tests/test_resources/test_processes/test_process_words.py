"""Words find processes by indexes, and the same processes as a look into every row."""

from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.database.tables import ProcessSubscriptionTable, ProcessTable, WorkflowTable
from resources.processes.process_fields import PROCESS_FIELDS
from tests.test_resources.test_domain.domain import active_device

PROCESS = UUID("abcd1234-0000-4000-8000-000000000001")


@pytest.fixture(autouse=True)
def process(session: Session) -> None:
    """A failed process about a device, and another."""
    device = active_device("lon7")
    workflow = uuid4()
    row = {"target": "CREATE", "description": ""}
    session.execute(sa.insert(WorkflowTable).values(workflow_id=workflow, name="create_device", **row))
    for key, note in ((PROCESS, "Ticket NOC-4711, urgent"), (uuid4(), None)):
        reason = f"netbox answered 503 {'x' * 3000}" if note else None
        values = {"workflow_id": workflow, "last_status": "failed", "step_keys": [], "created_by": "Zoë"}
        session.execute(
            sa.insert(ProcessTable).values(
                process_id=key, note=note, failed_reason=reason, last_step="Reserve in IPAM" if note else None, **values
            )
        )
    session.execute(
        sa.insert(ProcessSubscriptionTable).values(process_id=PROCESS, subscription_id=device.subscription_id)
    )
    session.flush()


def found(session: Session, search: str) -> set[UUID]:
    return set(session.scalars(sa.select(ProcessTable.process_id).where(PROCESS_FIELDS.search(search))))


@pytest.mark.parametrize(
    "search",
    ["4711", "noc-47", "ticket urg -y", "ipam", "NETBOX 503", "*etbo*", "abcd12", '"reserve in"', "note:noc", "lon7"],
)
def test_a_process_is_found_by_its_words_and_those_of_its_subscription(session: Session, search: str) -> None:
    assert found(session, search) == {PROCESS}


@pytest.mark.parametrize("search", ["711", "4711-noc", "urgent reserve-in-urgent", '"netbox 503"', "abcd12345"])
def test_what_has_the_words_in_another_order_is_not_found(session: Session, search: str) -> None:
    assert found(session, search) == set()


def test_words_of_all_are_found_in_all(session: Session) -> None:
    assert len(found(session, "zoë")) == len(found(session, "create_dev")) == 2


@pytest.mark.parametrize("search", ["4711", '"ticket noc"', "-4711 ipam"])
def test_no_process_is_read_that_has_not_the_words(session: Session, search: str) -> None:
    session.execute(sa.text("SET LOCAL enable_seqscan = off"))
    statement = sa.select(ProcessTable.process_id).where(PROCESS_FIELDS.search(search))
    compiled = statement.compile(session.connection())
    plan = "\n".join(session.connection().exec_driver_sql(f"EXPLAIN {compiled}", dict(compiled.params)).scalars())
    assert "ix_processes_words" in plan, plan
    assert "Seq Scan on processes" not in plan, plan
