"""Add the products and their workflows."""

from uuid import uuid4

from alembic import op
from orchestrator.core.migrations.helpers import create, create_workflow, delete
from orchestrator.core.targets import Target

revision = "3f1c5b8e2a77"
down_revision = None
branch_labels = ("data",)
depends_on = "af2f35a2e9e8"

new_products = {
    "products": {
        "Site": {
            "product_id": uuid4(),
            "product_type": "Site",
            "description": "A place where equipment stands",
            "tag": "SITE",
            "status": "active",
            "root_product_block": "Ported Site",
            "fixed_inputs": {},
        },
        "Uplink 1G": {
            "product_id": uuid4(),
            "product_type": "Uplink",
            "description": "An uplink of a carrier",
            "tag": "UPLINK",
            "status": "active",
            "root_product_block": "Ported Uplink",
            "fixed_inputs": {"speed": "1000"},
        },
        "Uplink 10G": {
            "product_id": uuid4(),
            "product_type": "Uplink",
            "description": "An uplink of a carrier",
            "tag": "UPLINK",
            "status": "active",
            "root_product_block": "Ported Uplink",
            "fixed_inputs": {"speed": "10000"},
        },
    },
}
new_workflows = [
    {"name": "create_site", "target": Target.CREATE, "description": "Create site", "product_type": "Site"},
    {"name": "modify_site", "target": Target.MODIFY, "description": "Modify site", "product_type": "Site"},
    {"name": "create_uplink", "target": Target.CREATE, "description": "Create uplink", "product_type": "Uplink"},
    {"name": "create_ring", "target": Target.CREATE, "description": "Create ring", "product_type": "Ring"},
]


def upgrade() -> None:
    """Make them."""
    conn = op.get_bind()
    create(conn, new_products)
    for workflow in new_workflows:
        create_workflow(conn, workflow)


def downgrade() -> None:
    """Remove them."""
    delete(op.get_bind(), new_products)
