"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "engine_settings",
        sa.Column("singleton", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("global_lock", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("catalogue_hash", sa.String(length=64), nullable=True),
        sa.CheckConstraint("singleton", name=op.f("ck_engine_settings_one_row")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_engine_settings")),
    )
    op.create_table(
        "product_blocks",
        sa.Column("product_block_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("tag", sa.String(length=20), nullable=True),
        sa.Column("status", sa.String(length=255), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("end_date", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("product_block_id", name=op.f("pk_product_blocks")),
        sa.UniqueConstraint("name", name=op.f("uq_product_blocks_name")),
    )
    op.create_table(
        "products",
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("product_type", sa.String(length=255), nullable=False),
        sa.Column("tag", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=255), nullable=False),
        sa.Column(
            "fixed_inputs",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("end_date", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_products")),
        sa.UniqueConstraint("name", name=op.f("uq_products_name")),
    )
    op.create_index(op.f("ix_products_product_type"), "products", ["product_type"], unique=False)
    op.create_index(op.f("ix_products_tag"), "products", ["tag"], unique=False)
    op.create_table(
        "resource_types",
        sa.Column("resource_type_id", sa.Uuid(), nullable=False),
        sa.Column("resource_type", sa.String(length=510), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.PrimaryKeyConstraint("resource_type_id", name=op.f("pk_resource_types")),
        sa.UniqueConstraint("resource_type", name=op.f("uq_resource_types_resource_type")),
    )
    op.create_table(
        "workflows",
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("target", sa.String(length=20), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("is_task", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("workflow_id", name=op.f("pk_workflows")),
        sa.UniqueConstraint("name", name=op.f("uq_workflows_name")),
    )
    op.create_table(
        "processes",
        sa.Column("process_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("is_task", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_status", sa.String(length=50), nullable=False),
        sa.Column("last_step", sa.String(length=255), nullable=True),
        sa.Column("assignee", sa.String(length=50), server_default=sa.text("'SYSTEM'"), nullable=False),
        sa.Column(
            "state", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("step_keys", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("failed_reason", sa.String(length=10000), nullable=True),
        sa.Column("traceback", sa.String(length=50000), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("note", sa.String(length=5000), nullable=True),
        sa.Column("run_id", sa.String(length=255), nullable=True),
        sa.Column("parent_process_id", sa.Uuid(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "last_modified_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["parent_process_id"], ["processes.process_id"], name=op.f("fk_processes_parent_process_id")
        ),
        sa.ForeignKeyConstraint(["workflow_id"], ["workflows.workflow_id"], name=op.f("fk_processes_workflow_id")),
        sa.PrimaryKeyConstraint("process_id", name=op.f("pk_processes")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_processes_idempotency_key")),
    )
    op.create_index(op.f("ix_processes_parent_process_id"), "processes", ["parent_process_id"], unique=False)
    op.create_index(op.f("ix_processes_run_id"), "processes", ["run_id"], unique=False)
    op.create_index("ix_processes_started_at", "processes", [sa.literal_column("started_at DESC")], unique=False)
    op.create_index(
        "ix_processes_status_open",
        "processes",
        ["last_status"],
        unique=False,
        postgresql_where=sa.text("last_status <> 'completed'"),
    )
    op.create_index(op.f("ix_processes_workflow_id"), "processes", ["workflow_id"], unique=False)
    op.create_table(
        "product_block_relations",
        sa.Column("in_use_by_id", sa.Uuid(), nullable=False),
        sa.Column("depends_on_id", sa.Uuid(), nullable=False),
        sa.Column("min", sa.Integer(), nullable=True),
        sa.Column("max", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["depends_on_id"],
            ["product_blocks.product_block_id"],
            name=op.f("fk_product_block_relations_depends_on_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["in_use_by_id"],
            ["product_blocks.product_block_id"],
            name=op.f("fk_product_block_relations_in_use_by_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("in_use_by_id", "depends_on_id", name=op.f("pk_product_block_relations")),
    )
    op.create_table(
        "product_block_resource_types",
        sa.Column("product_block_id", sa.Uuid(), nullable=False),
        sa.Column("resource_type_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_block_id"],
            ["product_blocks.product_block_id"],
            name=op.f("fk_product_block_resource_types_product_block_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["resource_type_id"],
            ["resource_types.resource_type_id"],
            name=op.f("fk_product_block_resource_types_resource_type_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("product_block_id", "resource_type_id", name=op.f("pk_product_block_resource_types")),
    )
    op.create_table(
        "product_product_blocks",
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("product_block_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_block_id"],
            ["product_blocks.product_block_id"],
            name=op.f("fk_product_product_blocks_product_block_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.product_id"],
            name=op.f("fk_product_product_blocks_product_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("product_id", "product_block_id", name=op.f("pk_product_product_blocks")),
    )
    op.create_table(
        "products_workflows",
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name=op.f("fk_products_workflows_product_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflows.workflow_id"],
            name=op.f("fk_products_workflows_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("product_id", "workflow_id", name=op.f("pk_products_workflows")),
    )
    op.create_table(
        "schedules",
        sa.Column("schedule_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("trigger", sa.String(length=20), nullable=False),
        sa.Column(
            "trigger_kwargs",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "inputs", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_run_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["workflow_id"], ["workflows.workflow_id"], name=op.f("fk_schedules_workflow_id")),
        sa.PrimaryKeyConstraint("schedule_id", name=op.f("pk_schedules")),
    )
    op.create_index(op.f("ix_schedules_next_run_at"), "schedules", ["next_run_at"], unique=False)
    op.create_index(op.f("ix_schedules_workflow_id"), "schedules", ["workflow_id"], unique=False)
    op.create_table(
        "process_steps",
        sa.Column("process_id", sa.Uuid(), nullable=False),
        sa.Column("step_key", sa.String(length=255), nullable=False),
        sa.Column("step_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column(
            "set", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "removed", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("run_id", sa.String(length=255), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"], ["processes.process_id"], name=op.f("fk_process_steps_process_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("process_id", "step_key", name=op.f("pk_process_steps")),
        sa.UniqueConstraint("process_id", "position", name=op.f("uq_process_steps_process_id_position")),
        sa.UniqueConstraint("step_id", name=op.f("uq_process_steps_step_id")),
    )
    op.create_table(
        "process_waits",
        sa.Column("wait_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("process_id", sa.Uuid(), nullable=False),
        sa.Column("step_key", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("token_hash", sa.String(length=128), nullable=True),
        sa.Column("deadline", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("progress", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("answered_by", sa.String(length=255), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("answered_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["process_id"], ["processes.process_id"], name=op.f("fk_process_waits_process_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("wait_id", name=op.f("pk_process_waits")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_process_waits_token_hash")),
    )
    op.create_index(
        "ix_process_waits_deadline",
        "process_waits",
        ["deadline"],
        unique=False,
        postgresql_where=sa.text("answered_at IS NULL"),
    )
    op.create_index(op.f("ix_process_waits_process_id"), "process_waits", ["process_id"], unique=False)
    op.create_index(
        "uq_process_waits_open",
        "process_waits",
        ["process_id"],
        unique=True,
        postgresql_where=sa.text("answered_at IS NULL"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("insync", sa.Boolean(), nullable=False),
        sa.Column("start_date", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("end_date", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("note", sa.String(length=5000), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("locked_by", sa.Uuid(), nullable=True),
        sa.Column(
            "document", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("search", postgresql.TSVECTOR(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_subscriptions_version_positive")),
        sa.ForeignKeyConstraint(["locked_by"], ["processes.process_id"], name=op.f("fk_subscriptions_locked_by")),
        sa.ForeignKeyConstraint(["product_id"], ["products.product_id"], name=op.f("fk_subscriptions_product_id")),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_subscriptions")),
    )
    op.create_index(
        "ix_subscriptions_created_at",
        "subscriptions",
        [sa.literal_column("created_at DESC"), "subscription_id"],
        unique=False,
    )
    op.create_index(op.f("ix_subscriptions_customer_id"), "subscriptions", ["customer_id"], unique=False)
    op.create_index(op.f("ix_subscriptions_locked_by"), "subscriptions", ["locked_by"], unique=False)
    op.create_index(
        "ix_subscriptions_out_of_sync",
        "subscriptions",
        ["subscription_id"],
        unique=False,
        postgresql_where=sa.text("NOT insync"),
    )
    op.create_index(op.f("ix_subscriptions_product_id"), "subscriptions", ["product_id"], unique=False)
    op.create_index("ix_subscriptions_search", "subscriptions", ["search"], unique=False, postgresql_using="gin")
    op.create_index(op.f("ix_subscriptions_status"), "subscriptions", ["status"], unique=False)
    op.create_table(
        "processes_subscriptions",
        sa.Column("process_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"],
            ["processes.process_id"],
            name=op.f("fk_processes_subscriptions_process_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_processes_subscriptions_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("process_id", "subscription_id", name=op.f("pk_processes_subscriptions")),
    )
    op.create_index(
        op.f("ix_processes_subscriptions_subscription_id"), "processes_subscriptions", ["subscription_id"], unique=False
    )
    op.create_table(
        "subscription_customer_descriptions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_subscription_customer_descriptions_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_customer_descriptions")),
        sa.UniqueConstraint(
            "customer_id",
            "subscription_id",
            name=op.f("uq_subscription_customer_descriptions_customer_id_subscription_id"),
        ),
    )
    op.create_index(
        op.f("ix_subscription_customer_descriptions_customer_id"),
        "subscription_customer_descriptions",
        ["customer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_subscription_customer_descriptions_subscription_id"),
        "subscription_customer_descriptions",
        ["subscription_id"],
        unique=False,
    )
    op.create_table(
        "subscription_instances",
        sa.Column("subscription_instance_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("product_block", sa.String(length=255), nullable=False),
        sa.Column("attribute", sa.String(length=255), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("label", sa.String(length=255), nullable=True),
        sa.Column(
            "values", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_subscription_instances_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subscription_instance_id", name=op.f("pk_subscription_instances")),
    )
    op.create_index(
        op.f("ix_subscription_instances_product_block"), "subscription_instances", ["product_block"], unique=False
    )
    op.create_index(
        op.f("ix_subscription_instances_subscription_id"), "subscription_instances", ["subscription_id"], unique=False
    )
    op.create_index(
        "ix_subscription_instances_values",
        "subscription_instances",
        ["values"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"values": "jsonb_path_ops"},
    )
    op.create_table(
        "subscription_metadata",
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_subscription_metadata_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_subscription_metadata")),
    )
    op.create_table(
        "subscription_versions",
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("process_id", sa.Uuid(), nullable=True),
        sa.Column("step_key", sa.String(length=255), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_subscription_versions_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subscription_id", "version", name=op.f("pk_subscription_versions")),
    )
    op.create_index(
        "ix_subscription_versions_created_at", "subscription_versions", ["subscription_id", "created_at"], unique=False
    )
    op.create_table(
        "subscription_instance_relations",
        sa.Column("in_use_by_id", sa.Uuid(), nullable=False),
        sa.Column("attribute", sa.String(length=255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("depends_on_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["depends_on_id"],
            ["subscription_instances.subscription_instance_id"],
            name=op.f("fk_subscription_instance_relations_depends_on_id"),
        ),
        sa.ForeignKeyConstraint(
            ["in_use_by_id"],
            ["subscription_instances.subscription_instance_id"],
            name=op.f("fk_subscription_instance_relations_in_use_by_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "in_use_by_id", "attribute", "position", name=op.f("pk_subscription_instance_relations")
        ),
    )
    op.create_index(
        "ix_subscription_instance_relations_depends_on_id",
        "subscription_instance_relations",
        ["depends_on_id"],
        unique=False,
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_subscription_instance_relations_depends_on_id", table_name="subscription_instance_relations")
    op.drop_table("subscription_instance_relations")
    op.drop_index("ix_subscription_versions_created_at", table_name="subscription_versions")
    op.drop_table("subscription_versions")
    op.drop_table("subscription_metadata")
    op.drop_index("ix_subscription_instances_values", table_name="subscription_instances")
    op.drop_index(op.f("ix_subscription_instances_subscription_id"), table_name="subscription_instances")
    op.drop_index(op.f("ix_subscription_instances_product_block"), table_name="subscription_instances")
    op.drop_table("subscription_instances")
    op.drop_index(
        op.f("ix_subscription_customer_descriptions_subscription_id"), table_name="subscription_customer_descriptions"
    )
    op.drop_index(
        op.f("ix_subscription_customer_descriptions_customer_id"), table_name="subscription_customer_descriptions"
    )
    op.drop_table("subscription_customer_descriptions")
    op.drop_index(op.f("ix_processes_subscriptions_subscription_id"), table_name="processes_subscriptions")
    op.drop_table("processes_subscriptions")
    op.drop_index(op.f("ix_subscriptions_status"), table_name="subscriptions")
    op.drop_index("ix_subscriptions_search", table_name="subscriptions", postgresql_using="gin")
    op.drop_index(op.f("ix_subscriptions_product_id"), table_name="subscriptions")
    op.drop_index("ix_subscriptions_out_of_sync", table_name="subscriptions", postgresql_where=sa.text("NOT insync"))
    op.drop_index(op.f("ix_subscriptions_locked_by"), table_name="subscriptions")
    op.drop_index("ix_subscriptions_created_at", table_name="subscriptions")
    op.drop_index(op.f("ix_subscriptions_customer_id"), table_name="subscriptions")
    op.drop_table("subscriptions")
    op.drop_index("uq_process_waits_open", table_name="process_waits", postgresql_where=sa.text("answered_at IS NULL"))
    op.drop_index(op.f("ix_process_waits_process_id"), table_name="process_waits")
    op.drop_index(
        "ix_process_waits_deadline", table_name="process_waits", postgresql_where=sa.text("answered_at IS NULL")
    )
    op.drop_table("process_waits")
    op.drop_table("process_steps")
    op.drop_index(op.f("ix_schedules_workflow_id"), table_name="schedules")
    op.drop_index(op.f("ix_schedules_next_run_at"), table_name="schedules")
    op.drop_table("schedules")
    op.drop_table("products_workflows")
    op.drop_table("product_product_blocks")
    op.drop_table("product_block_resource_types")
    op.drop_table("product_block_relations")
    op.drop_index(op.f("ix_processes_workflow_id"), table_name="processes")
    op.drop_index(
        "ix_processes_status_open", table_name="processes", postgresql_where=sa.text("last_status <> 'completed'")
    )
    op.drop_index("ix_processes_started_at", table_name="processes")
    op.drop_index(op.f("ix_processes_run_id"), table_name="processes")
    op.drop_index(op.f("ix_processes_parent_process_id"), table_name="processes")
    op.drop_table("processes")
    op.drop_table("workflows")
    op.drop_table("resource_types")
    op.drop_index(op.f("ix_products_tag"), table_name="products")
    op.drop_index(op.f("ix_products_product_type"), table_name="products")
    op.drop_table("products")
    op.drop_table("product_blocks")
    op.drop_table("engine_settings")
