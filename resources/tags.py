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
ACTS_ON = PREFIX + "acts_on"
"""The process that a run was told to lay hands on; it is no segment of it."""

CELERY_SENT = PREFIX + "celery_sent"
CELERY_TAKEN = PREFIX + "celery_taken"
"""How often a run was sent to Celery's workers; which sending was taken last, for the how manieth time, and by whom."""
