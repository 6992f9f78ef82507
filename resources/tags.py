"""The tags that a Dagster run carries for its process: one prefix, one place."""

PREFIX = "orchestrator/"

PROCESS = PREFIX + "process"
PARENT = PREFIX + "parent"
WORKFLOW = PREFIX + "workflow"
TARGET = PREFIX + "target"
PRODUCT = PREFIX + "product"
SUBSCRIPTION = PREFIX + "subscription"
CUSTOMER = PREFIX + "customer"
USER = PREFIX + "user"
STATUS = PREFIX + "status"
