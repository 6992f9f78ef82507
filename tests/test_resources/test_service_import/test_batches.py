"""Importing rows: what becomes of them, and what they cost."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator_defs.testing import Testbed
from resources.catalogue.catalogue import Product
from resources.catalogue.entries import list_workflows
from resources.database.session import StatementCount, current_session
from resources.database.tables import SubscriptionTable
from resources.errors import TransactionReadsOnly
from resources.service_import import batches
from resources.service_import.batches import ImportReport, ServiceImport
from resources.service_import.files import ServiceRow
from resources.service_import.service_models import RowReading
from resources.subscriptions.history import read_history
from resources.subscriptions.lists import count_subscriptions, list_subscriptions
from resources.subscriptions.queries import find_product
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import CircuitInactive, DeviceInactive
from tests.test_resources.test_domain.samples import process, registry_kept

DEVICE = Product("Test Device", "DEV", DeviceInactive, "Device", "a device")
CIRCUIT = Product("Test Circuit", "CIR", CircuitInactive, "Circuit", "a circuit", {"protected": True})


@pytest.fixture
def bed(testbed_of: Callable[..., Testbed]) -> Iterator[Testbed]:
    with registry_kept():
        made = testbed_of([], [DEVICE, CIRCUIT])
        made.orchestrator.prepare()
        yield made


def load(bed: Testbed, product: str, *rows: dict[str, Any], **options: Any) -> ImportReport:
    how = {name: options.pop(name) for name in ("check", "is_dry_run", "refuse") if name in options}
    with bed.database.transaction():
        found = find_product(product)
    reading = RowReading(found, datetime.now(UTC), "acme", **({"key": "key"} | options))
    whole = ServiceImport(bed.database, reading, "imported from a test", **how)
    return whole.run(ServiceRow(number, row) for number, row in enumerate(rows, 1))


def devices(*names: str) -> list[dict[str, Any]]:
    return [{"key": name, "device.hostname": name} for name in names]


def reasons(report: ImportReport) -> list[str]:
    return [one.reason for one in report.refusals]


def only(bed: Testbed, product: str) -> Any:
    with bed.database.transaction():
        (line,) = list_subscriptions(product=product)
    return bed.subscription(line.subscription_id)


def test_a_row_becomes_an_active_subscription_in_sync_with_its_history(bed: Testbed) -> None:
    report = load(bed, "Test Device", *devices("ams1"), note="from the old system")
    made = only(bed, "Test Device")
    assert (report.imported, made.status, made.insync) == (1, SubscriptionLifecycle.ACTIVE, True)
    assert (made.device.hostname, made.customer_id, made.note) == ("ams1", "acme", "from the old system")
    assert made.description == "Test Device ams1"
    assert made.start_date is not None
    with bed.database.transaction():
        (first,) = read_history(made.subscription_id)
    assert first.reason == "imported from a test"


def test_the_same_rows_again_change_nothing(bed: Testbed) -> None:
    load(bed, "Test Device", *devices("ams1"))
    before = only(bed, "Test Device")
    report = load(bed, "Test Device", *devices("ams1", "lon7"))
    assert (report.imported, report.present, report.refused) == (1, 1, 0)
    assert bed.subscription(before.subscription_id) == before


def test_batches_before_an_error_stay_and_the_next_run_goes_on(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 1)

    def rows() -> Iterator[ServiceRow]:
        yield ServiceRow(1, devices("ams1")[0])
        raise KeyboardInterrupt

    with bed.database.transaction():
        reading = RowReading(find_product("Test Device"), datetime.now(UTC), "acme", "key")
    with pytest.raises(KeyboardInterrupt):
        ServiceImport(bed.database, reading, "killed").run(rows())
    assert load(bed, "Test Device", *devices("ams1", "lon7")).present == 1


CIRCUIT_ROW: dict[str, Any] = {
    "key": "c1",
    "circuit.speed": "1000",
    "circuit.endpoints.0.vlan": "10",
    "circuit.endpoints.0.socket.socket_name": "ge-0",
    "circuit.endpoints.0.socket.speeds": "[10, 100]",
    "circuit.endpoints.0.socket.device=hostname": "ams1",
    "circuit.endpoints.1.vlan": "20",
    "circuit.endpoints.1.socket.socket_name": "ge-1",
    "circuit.endpoints.1.socket.device": "hostname=lon7",
}


def test_columns_of_nested_blocks_make_them_and_name_those_of_others(bed: Testbed) -> None:
    load(bed, "Test Device", *devices("ams1", "lon7"))
    report = load(bed, "Test Circuit", CIRCUIT_ROW)
    assert reasons(report) == []
    made = only(bed, "Test Circuit")
    first, second = made.circuit.endpoints
    assert (made.protected, made.circuit.speed, first.socket.speeds) == (True, 1000, [10, 100])
    assert (first.vlan, first.socket.device.hostname, second.socket.device.hostname) == (10, "ams1", "lon7")
    assert first.socket.device.owner_subscription_id != made.subscription_id


def test_a_block_of_another_is_named_by_the_id_of_its_subscription_or_its_own(bed: Testbed) -> None:
    load(bed, "Test Device", *devices("ams1"))
    device = only(bed, "Test Device")
    ids = (str(device.subscription_id), str(device.device.subscription_instance_id))
    ends = [{"vlan": 1, "socket": {"socket_name": "a", "device": one}} for one in ids]
    assert reasons(load(bed, "Test Circuit", {"key": 1, "circuit": {"speed": 5, "endpoints": ends}})) == []


def test_what_a_subscription_is_as_json_can_be_imported_again(bed: Testbed) -> None:
    load(bed, "Test Device", *devices("ams1", "lon7"))
    load(bed, "Test Circuit", CIRCUIT_ROW)
    made = only(bed, "Test Circuit")
    row = made.model_dump(mode="json")
    with bed.database.transaction() as session:
        session.connection().exec_driver_sql("DELETE FROM subscription_instance_relations")
        session.connection().exec_driver_sql("DELETE FROM subscriptions WHERE description LIKE 'Test Circuit%%'")
    assert reasons(load(bed, "Test Circuit", row, key=None)) == []
    assert only(bed, "Test Circuit").circuit == made.circuit


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"key": ""}, "column 'key', which is the key, is empty"),
    ({"status": "gone"}, "status: 'gone' is no SubscriptionLifecycle"),
    ({"customer_id": "x" * 300}, "customer_id: String should have at most 255 characters"),
    ({"circuit.speed": "fast"}, "circuit.speed: Input should be a valid integer"),
    ({"circuit.colour": "red"}, "circuit.colour: there is no such value; known are speed, endpoints"),
    ({"circuit.endpoints.0.vlan": None}, "circuit.endpoints.0.vlan: Input should be a valid integer"),
    ({"circuit.endpoints.0.socket.socket_name": "\0"}, "holds a NUL character"),
    ({"circuit": 5}, "another column has a value"),
    ({"protected": "False"}, "protected: it is 'False', and 'Test Circuit' has True"),
    ({"product": "Other"}, "product: it is 'Other'"),
    ({"circuit.endpoints.1.socket.device": "hostname=ams2"}, "no block of a subscription that is not terminated"),
    ({"circuit.endpoints.1.socket.device": "ams1"}, "give its id, that of its subscription, or name=value"),
    ({"circuit.endpoints.1.socket.device": "hostname=twin"}, "2 blocks are 'hostname=twin'"),
    ({"circuit.endpoints.1.socket.device": "hostname=old"}, "no block of a subscription that is not terminated"),
    ({"circuit.endpoints.2.vlan": "3"}, "circuit.endpoints.2.socket.device.hostname: a value is missing"),
]


def test_what_is_wrong_with_a_row_refuses_that_row_alone(bed: Testbed) -> None:
    twins = [{"key": f"twin{number}", "device.hostname": "twin"} for number in range(2)]
    load(bed, "Test Device", *devices("ams1", "lon7"), *twins)
    load(bed, "Test Device", *devices("old"), status=SubscriptionLifecycle.TERMINATED)
    rows = [{**CIRCUIT_ROW, "key": str(number), **change} for number, (change, _) in enumerate(WRONG)]
    report = load(bed, "Test Circuit", *rows, CIRCUIT_ROW)
    assert report.imported == 1
    for found, (change, reason) in zip(reasons(report), WRONG, strict=True):
        assert reason in found, change


def test_a_key_twice_in_a_file_is_refused_the_second_time(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a batch, and in another; also while nothing is committed."""
    monkeypatch.setattr(batches, "BATCH", 2)
    rows = devices("ams1", "ams1", "ams1")
    for is_dry_run in (True, False):
        report = load(bed, "Test Device", *rows, is_dry_run=is_dry_run)
        assert (report.imported, report.present, [one.row for one in report.refusals]) == (1, 0, [2, 3])


def test_what_only_the_database_refuses_refuses_one_row(bed: Testbed) -> None:
    load(bed, "Test Device", *devices("ams1"))
    taken = str(only(bed, "Test Device").device.subscription_instance_id)
    rows = devices("a", "b", "c")
    rows[1]["device.subscription_instance_id"] = taken
    report = load(bed, "Test Device", *rows)
    assert (report.imported, [one.row for one in report.refusals]) == (2, [2])


def test_a_block_of_a_subscription_that_a_process_changes_is_not_taken(bed: Testbed) -> None:
    load(bed, "Test Device", *devices("ams1", "lon7"))
    with bed.database.transaction() as session:
        holder = process(list_workflows()[0].workflow_id)
        locked = sa.update(SubscriptionTable).where(SubscriptionTable.description == "Test Device lon7")
        session.execute(locked.values(locked_by=holder))
    (reason,) = reasons(load(bed, "Test Circuit", CIRCUIT_ROW))
    assert f"process {holder} is changing subscription" in reason


def test_a_dry_run_reports_the_same_and_leaves_nothing(bed: Testbed) -> None:
    rows = [*devices("ams1"), {"key": "b"}]
    dry, real = (load(bed, "Test Device", *rows, is_dry_run=one) for one in (True, False))
    assert (dry.imported, dry.refusals) == (real.imported, real.refusals)
    with bed.database.transaction():
        assert count_subscriptions() == 1


def test_a_subscription_that_a_check_denies_is_not_imported(bed: Testbed) -> None:
    """The check sees it in the database, and can write nothing."""
    seen = []

    def check(one: Any) -> str | None:
        seen.append(count_subscriptions())
        return "it is not there" if one.device.hostname == "lon7" else None

    def write(_one: Any) -> None:
        current_session().execute(sa.delete(SubscriptionTable))

    assert reasons(load(bed, "Test Device", *devices("ams1"), check=write)) == [str(TransactionReadsOnly())]
    report = load(bed, "Test Device", *devices("ams1", "lon7"), check=check)
    assert (seen, report.imported, reasons(report)) == ([2, 2], 1, ["it is not there"])
    assert only(bed, "Test Device").device.hostname == "ams1"


def test_the_statements_of_a_batch_do_not_grow_with_it(bed: Testbed, statements: StatementCount) -> None:
    load(bed, "Test Device", *devices("ams1", "lon7"))
    counts = []
    for number in (1, 20):
        statements.clear()
        load(bed, "Test Circuit", *({**CIRCUIT_ROW, "key": f"{number} {one}"} for one in range(number)))
        counts.append(statements.count)
    assert counts[0] == counts[1]


def test_two_imports_of_the_same_rows_import_each_once(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 5)
    rows = devices(*(f"ams{number}" for number in range(50)))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: load(bed, "Test Device", *rows), range(2))
    assert first.imported + second.imported == first.present + second.present == 50
    assert reasons(first) + reasons(second) == []
