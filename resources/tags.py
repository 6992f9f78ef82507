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
"""The process on which a run intervenes; the run is no segment of it."""

CELERY_SENT = PREFIX + "celery_sent"
CELERY_TAKEN = PREFIX + "celery_taken"
"""How often a run was sent to Celery's workers; which message a worker accepted last, how often that one, and who."""
