"""Makes a database of orchestrator-core with its own code, and a dump of it that any PostgreSQL can load.

    python -m core_project.make_database postgresql+psycopg://postgres@localhost/core 60 --dump core.sql

Run it in this folder's parent, where orchestrator-core is installed and PostgreSQL has contrib and pgvector; the
database is new and empty. The number is that of the subscriptions. CACHE_URI names a Redis.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser()
parser.add_argument("uri")
parser.add_argument("number", type=int)
parser.add_argument("--dump", type=Path)
ARGUMENTS = parser.parse_args()
os.environ |= {"DATABASE_URI": ARGUMENTS.uri, "TESTING": "true", "ENABLE_WEBSOCKETS": "false", "LOG_LEVEL": "ERROR"}
os.environ |= {"EXECUTOR": "threadpool", "MAX_WORKERS": "1", "EMBEDDING_API_ENABLED": "false"}

import alembic.command  # noqa: E402  # the settings are read when orchestrator-core is imported
import orchestrator.core  # noqa: E402
import structlog  # noqa: E402
from alembic.config import Config  # noqa: E402
from core_project.filling import fill  # noqa: E402
from core_project.products import CATALOGUE  # noqa: E402
from core_project.workflows import LIFECYCLES  # noqa: E402
from orchestrator.core import OrchestratorCore, app_settings  # noqa: E402
from orchestrator.core.db import (  # noqa: E402
    FixedInputTable,
    ProcessTable,
    ProductBlockTable,
    ProductTable,
    ResourceTypeTable,
    SubscriptionCustomerDescriptionTable,
    SubscriptionInstanceRelationTable,
    SubscriptionMetadataTable,
    SubscriptionTable,
    WorkflowTable,
    db,
)
from orchestrator.core.domain import SUBSCRIPTION_MODEL_REGISTRY  # noqa: E402
from orchestrator.core.services.processes import abort_process, resume_process, start_process  # noqa: E402
from orchestrator.core.types import SubscriptionLifecycle  # noqa: E402
from orchestrator.core.workflows import LazyWorkflowInstance  # noqa: E402
from pydantic_forms.exceptions import FormValidationError  # noqa: E402
from sqlalchemy import select, text  # noqa: E402

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
WORKFLOWS = {
    "create_node": ("CREATE", "Node"),
    "create_port": ("CREATE", "Port"),
    "create_vpn": ("CREATE", "Vpn"),
    "modify_node": ("MODIFY", "Node"),
    "modify_port": ("MODIFY", "Port"),
    "modify_vpn": ("MODIFY", "Vpn"),
    "terminate_vpn": ("TERMINATE", "Vpn"),
    "task_count": ("SYSTEM", None),
}
KINDS = ["Node Cisco", "Port 10G", "Vpn", "Node Nokia", "Port 1G"]
BY_ENGINE = 60
"""So many subscriptions are made by workflows; more by models alone, which is faster."""
DUMPED = (
    *("products", "fixed_inputs", "product_blocks", "resource_types", "workflows", "subscriptions"),
    *("subscription_instances", "subscription_instance_values", "subscription_instance_relations"),
    *("subscription_customer_descriptions", "subscription_metadata", "processes", "process_steps"),
    "processes_subscriptions",
)


def migrate() -> None:
    """Make the tables, as `db upgrade heads` does."""
    folder = Path(orchestrator.core.__file__).parent / "migrations"
    alembic.command.upgrade(Config(folder / "alembic.ini"), "heads")


def declare() -> None:
    """Write the rows of the catalogue, which a project's own migrations write."""
    types: dict[str, ResourceTypeTable] = {}
    blocks: dict[str, ProductBlockTable] = {}

    def block(cls: Any) -> ProductBlockTable:
        if cls.name not in blocks:
            row = blocks[cls.name] = ProductBlockTable(name=cls.name, description=cls.name, tag=cls.name.upper())
            row.status = "active"
            for name in cls._non_product_block_fields_:
                known = types.setdefault(name, ResourceTypeTable(resource_type=name, description=name))
                row.resource_types.append(known)
            db.session.add(row)
            for below in cls._get_depends_on_product_block_types().values():
                for one in _classes(below):
                    row.depends_on.append(block(one))
        return blocks[cls.name]

    for name, tag, model, kind, inputs in CATALOGUE:
        product = ProductTable(name=name, description=name, product_type=kind, tag=tag, status="active")
        product.fixed_inputs = [FixedInputTable(name=key, value=str(value)) for key, value in inputs.items()]
        product.product_blocks = [block(one) for one in model._get_depends_on_product_block_types().values()]
        db.session.add(product)
    db.session.flush()
    for name, (target, kind) in WORKFLOWS.items():
        row = WorkflowTable(name=name, target=target, description=name, is_task=kind is None)
        row.products = list(db.session.scalars(select(ProductTable).where(ProductTable.product_type == kind)))
        db.session.add(row)
    db.session.commit()


def _classes(annotation: Any) -> list[Any]:
    found = [annotation] if isinstance(annotation, type) and hasattr(annotation, "_non_product_block_fields_") else []
    return found + [one for part in getattr(annotation, "__args__", ()) for one in _classes(part)]


def product(name: str) -> str:
    return str(db.session.scalar(select(ProductTable.product_id).where(ProductTable.name == name)))


def start(workflow: str, *pages: Any, user: str = "alice") -> Any:
    """Run a workflow by orchestrator-core's engine until it stops."""
    key = start_process(workflow, list(pages) or None, user)
    db.session.expire_all()
    return db.session.get(ProcessTable, key)


def create(number: int) -> Any:
    """Create a subscription by its workflow."""
    name = KINDS[number % len(KINDS)]
    workflow = f"create_{name.split()[0].lower()}"
    process = start(workflow, {"product": product(name)}, {"number": number, "customer_id": f"customer {number % 7}"})
    assert process.last_status == "completed", (process.last_step, process.failed_reason)
    return process.process_subscriptions[0].subscription_id


def save(number: int) -> Any:
    """Create a subscription by its models alone."""
    name = KINDS[number % len(KINDS)]
    kind = name.split()[0]
    inactive, _, active = LIFECYCLES[kind]
    made = inactive.from_product_id(product(name), f"customer {number % 7}", status=SubscriptionLifecycle.INITIAL)
    fill(kind, made, number)
    if kind == "Node":
        made.node.ims_id = number
    made = active.from_other_lifecycle(made, SubscriptionLifecycle.ACTIVE)
    made.description, made.insync = f"{kind} {number}", True
    made.save()
    db.session.commit()
    return made.subscription_id


def start_on(workflow: str, subscriptions: list[Any], page: dict[str, Any]) -> Any:
    """Start a workflow on the first subscription that may be changed now."""
    for one in subscriptions:
        try:
            return start(workflow, {"subscription_id": str(one)}, page)
        except FormValidationError:
            db.session.rollback()
    raise SystemExit(f"{workflow} may not be started on any subscription.")


def populate(number: int) -> None:
    """Run the workflows: most complete, some fail, wait, are suspended, resumed, aborted."""
    made = [create(one) if one < BY_ENGINE else save(one) for one in range(number)]
    of = {"Node": made[0::5] + made[3::5], "Port": made[1::5], "Vpn": made[2::5]}
    for one in of["Node"][::4]:
        assert start("modify_node", {"subscription_id": str(one)}, {"word": "twice"}).last_status == "completed"
    assert start("task_count", {}).last_status == "completed"
    assert start_on("terminate_vpn", of["Vpn"], {}).last_status == "completed"
    resumed = start_on("modify_port", of["Port"], {"word": "later"})
    resume_process(resumed, user_inputs=[{"is_sure": False}], user="carol")
    suspended = start_on("modify_port", of["Port"], {"word": "later"})
    aborted = start_on("modify_port", of["Port"], {"word": "never"})
    abort_process(aborted, "dave")
    failed = start_on("modify_node", of["Node"], {"word": "fail"})
    resume_process(failed, user_inputs=None, user="bob")
    start_on("modify_vpn", of["Vpn"], {"word": "x"})
    db.session.expire_all()
    statuses = [one.last_status for one in (resumed, suspended, aborted, failed)]
    assert statuses == ["completed", "suspended", "aborted", "failed"], statuses
    suspended.note = "wait for the customer"
    for number, one in enumerate(made[::3]):
        names = ("ours", "acme «naïve»")[: 1 + number % 2]
        db.session.add_all(
            SubscriptionCustomerDescriptionTable(subscription_id=one, customer_id=f"c{each}", description=name)
            for each, name in enumerate(names)
        )
        db.session.add(SubscriptionMetadataTable(subscription_id=one, metadata_={"tags": ["gold", number], "é": None}))
    db.session.commit()


def add_what_does_not_fit() -> None:
    """A value that its model refuses, a block that nothing holds, a product that the code does not declare."""
    declared = db.session.scalars(select(SubscriptionTable).order_by(SubscriptionTable.description)).all()
    one = next(each for each in declared if each.product.product_type == "Vpn" and each.status == "active")
    end = next(each for each in one.instances if each.product_block.name == "End")
    db.session.execute(
        SubscriptionInstanceRelationTable.__table__.delete().where(
            SubscriptionInstanceRelationTable.depends_on_id == end.subscription_instance_id
        )
    )
    db.session.flush()
    node = next(each for each in reversed(declared) if each.product.name == "Node Cisco")
    value = next(
        each for each in node.instances[0].values + node.instances[-1].values if each.value.startswith("10.0.")
    )
    value.value = "10.0.0.256"
    gone = ProductTable(name="Legacy", description="gone", product_type="Legacy", tag="OLD", status="end of life")
    db.session.add(gone)
    db.session.flush()
    db.session.add(
        SubscriptionTable(product_id=gone.product_id, customer_id="x", description="old", status="active", insync=True)
    )
    db.session.commit()


def thin_out() -> None:
    """Leave one process of each workflow and status: their states make a dump large."""
    db.session.execute(
        text(
            """
            DELETE FROM processes WHERE pid IN (
                SELECT pid FROM (
                    SELECT p.pid,
                           row_number() OVER (PARTITION BY w.name, p.last_status ORDER BY p.started_at DESC) AS place
                    FROM processes p JOIN workflows w USING (workflow_id)
                ) old WHERE place > 1
            )
            """
        )
    )
    db.session.commit()


def dump(target: Path) -> None:
    """Write the tables that an import reads as SQL without extensions, triggers and psql's own commands."""
    uri = ARGUMENTS.uri.replace("+psycopg", "")
    tables = [f"--table=public.{name}" for name in DUMPED]
    options = ["--no-owner", "--no-privileges", "--rows-per-insert=200"]
    made = subprocess.run(["pg_dump", *options, *tables, uri], check=True, capture_output=True, text=True).stdout
    made = re.sub(r"^CREATE (CONSTRAINT )?TRIGGER .*?;\n", "", made, flags=re.M | re.S)
    made = made.replace("public.uuid_generate_v4()", "gen_random_uuid()")
    made = re.sub(r"^(\\|SET |SELECT pg_catalog\.set_config|--).*\n", "", made, flags=re.M)
    target.write_text(re.sub(r"\n{2,}", "\n", made).lstrip())


if __name__ == "__main__":
    migrate()
    OrchestratorCore(base_settings=app_settings)
    SUBSCRIPTION_MODEL_REGISTRY.update({name: model for name, _, model, _, _ in CATALOGUE})
    for each in WORKFLOWS:
        LazyWorkflowInstance("core_project.workflows", each)
    with db.database_scope():
        declare()
        populate(ARGUMENTS.number)
        db.session.execute(text("REFRESH MATERIALIZED VIEW subscriptions_search"))
        add_what_does_not_fit()
        if ARGUMENTS.dump:
            thin_out()
    if ARGUMENTS.dump:
        dump(ARGUMENTS.dump)
    sys.exit(0)
