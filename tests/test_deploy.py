"""What `deploy/` says is so: its files fit the schemas, and name files, commands and settings that are there."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import psycopg
import pytest
import yaml
from celery import Celery
from celery.bin.celery import celery
from dagster import DagsterInstance
from dagster._cli import create_dagster_cli
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._daemon.cli import create_dagster_daemon_cli

from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.cli.main import LazyCommand, main
from resources.database import schema
from resources.database.embedded import EmbeddedServer
from resources.database.session import SubscriptionDatabase
from resources.runs.launching.celery_launcher import OrchestratorCeleryLauncher
from resources.runs.storage.dagster_storage import PooledRunStorage
from resources.settings import Settings, settings
from tests.architecture import ROOT

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
OURS = [name for name, service in COMPOSE["services"].items() if "build" in service]
VARIABLE = re.compile(r"\$\{(\w+)")


@pytest.fixture
def environment(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the containers have in theirs, with the embedded server in the place of theirs."""
    monkeypatch.setenv("DATABASE_URI", server.uri("postgres"))
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://:secret@redis:6379/0")
    settings.cache_clear()
    yield
    settings.cache_clear()
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS postgres_dagster WITH (FORCE)")


# --- Dagster's own files ---


def test_dagster_accepts_its_configuration(environment: None) -> None:
    with DagsterInstance.from_config(str(DEPLOY)) as instance:
        assert isinstance(instance.run_storage, PooledRunStorage)
        launcher = instance.run_launcher
        assert isinstance(launcher, OrchestratorCeleryLauncher)
        assert launcher.broker == "redis://:secret@redis:6379/0"
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_resume_run_attempts == 3
        assert isinstance(instance.run_coordinator, DefaultRunCoordinator)


def test_the_workspace_is_the_code_server_of_the_compose_file() -> None:
    (origin,) = location_origins_from_yaml_paths([str(DEPLOY / "workspace.yaml")])
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    assert origin.location_name == "orchestrator"
    words = COMPOSE["services"][origin.host]["command"]
    assert words[words.index("--port") + 1] == str(origin.port)


# --- compose ---


@pytest.mark.parametrize("folder", ["deploy", "examples/web_client"])
def test_each_compose_file_fits_the_schema_of_compose(folder: str) -> None:
    words = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / folder / "compose.yaml")]
    done = subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_all_services_are_there_with_a_check_of_their_health() -> None:
    assert set(COMPOSE["services"]) == {"postgres", "redis", "migrate", "code", "server", "daemon", "worker"}
    assert {name for name, service in COMPOSE["services"].items() if "healthcheck" not in service} == {"migrate"}
    assert COMPOSE["services"]["worker"]["deploy"]["replicas"] == 2


def test_services_wait_for_services_that_are_there() -> None:
    waits = {name: set(service.get("depends_on", ())) for name, service in COMPOSE["services"].items()}
    assert set().union(*waits.values()) <= set(waits)
    assert waits["migrate"] == {"postgres"}
    assert all("migrate" in waits[name] for name in OURS if name != "migrate")


COMMANDS: dict[str, click.Command] = {
    "dagster": create_dagster_cli(),
    "dagster-daemon": create_dagster_daemon_cli(),
    "celery": celery,
    "orchestrator": main,
}


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_commands_that_take_these_words(name: str) -> None:
    service = COMPOSE["services"][name]
    for words in (*commands_of(service["command"]), *checks_of(service)):
        assert_understood(words)


def commands_of(words: list[str]) -> list[list[str]]:
    """The commands of a service; those of a shell's line one by one."""
    if words[:2] != ["sh", "-c"]:
        return [words]
    return [shlex.split(part) for part in words[2].split("&&")]


def checks_of(service: dict[str, Any]) -> list[list[str]]:
    """The command that monitors its health, if it is one of these."""
    kind, *words = service.get("healthcheck", {}).get("test", ["CMD", "python"])
    words = shlex.split(words[0]) if kind == "CMD-SHELL" else words
    return [] if words[0] == "python" else [words]


def assert_understood(words: list[str]) -> None:
    """Parse the words as the command does, without doing anything. Raises click.UsageError."""
    assert (BIN / words[0]).exists()
    command = COMMANDS[words[0]]
    rest = [word.replace("/opt/dagster/", f"{DEPLOY}/") for word in words[1:]]
    parent = click.Context(command, obj=SimpleNamespace(app=Celery()))
    while isinstance(command, click.Group):
        parent = command.make_context(words[0], rest, parent=parent)
        name, found, rest = command.resolve_command(parent, [*parent._protected_args, *parent.args])
        assert found is not None, name
        command = found.command if isinstance(found, LazyCommand) else found
    command.make_context(words[0], rest, parent=parent)


def test_the_worker_loads_the_application_that_is_there() -> None:
    words = COMPOSE["services"]["worker"]["command"]
    module = words[words.index("-A") + 1]
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    assert words[words.index("--queues") + 1] == "dagster"


def test_no_password_is_written_down_and_the_example_names_every_variable() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    example = dict(line.split("=", 1) for line in lines(DEPLOY / ".env.example"))
    assert set(VARIABLE.findall(text)) - {"TAG"} == set(example)
    assert not any(example.values())
    for line in text.splitlines():
        if re.search(r"(PASSWORD|TOKEN|_AUTH|://:)", line) and "$$" not in line:
            assert "${" in line, line


def test_the_settings_of_the_services_are_settings_of_ours() -> None:
    fields = Settings.model_fields | ApiSettings.model_fields
    known = {name.upper() for name in fields} | {"CELERY_BROKER_URL"}
    for name in OURS:
        assert set(COMPOSE["services"][name]["environment"]) <= known


# --- the image ---


def test_the_image_copies_files_that_are_there_and_not_kept_out() -> None:
    allowed = {line.removeprefix("!") for line in lines(DEPLOY / "Dockerfile.dockerignore") if line.startswith("!")}
    copied = [
        source
        for line in lines(DEPLOY / "Dockerfile")
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in allowed, source


def test_the_image_has_the_extra_that_its_launcher_needs() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    extra = re.search(r"^ARG EXTRAS=(\w+)$", text, re.MULTILINE)
    assert extra
    assert f'"{extra[1]}": ' in (ROOT / "setup.py").read_text()


# --- Kubernetes ---

CLOSED = {
    ("runLauncher",): {"type", "config"},
    ("runLauncher", "config", "k8sRunLauncher"): {
        *("image", "imagePullPolicy", "jobNamespace", "loadInclusterConfig", "kubeconfigFile", "envConfigMaps"),
        *("envSecrets", "envVars", "volumeMounts", "volumes", "labels", "failPodOnRunFailure", "resources"),
        *("schedulerName", "securityContext", "runK8sConfig"),
    },
    ("dagsterDaemon",): {
        *("enabled", "image", "runCoordinator", "heartbeatTolerance", "env", "envConfigMaps", "envSecrets", "labels"),
        *("deploymentLabels", "nodeSelector", "affinity", "tolerations", "podSecurityContext", "securityContext"),
        *("resources", "livenessProbe", "readinessProbe", "startupProbe", "annotations", "runMonitoring"),
        *("runRetries", "sensors", "schedules", "schedulerName", "volumeMounts", "volumes", "initContainerResources"),
    },
    ("dagsterDaemon", "runCoordinator"): {"enabled", "type", "config"},
    ("telemetry",): {"enabled"},
}
"""The objects of the chart's values that it closes to any other key, as its own schema has them."""


@pytest.mark.parametrize("path", CLOSED, ids=".".join)
def test_the_values_have_no_key_that_the_chart_refuses(path: tuple[str, ...]) -> None:
    found = VALUES
    for key in path:
        found = found[key]
    assert set(found) <= CLOSED[path]


def test_the_values_launch_pods_on_a_database_outside_and_watch_them() -> None:
    assert VALUES["runLauncher"]["type"] == "K8sRunLauncher"
    assert VALUES["postgresql"]["enabled"] is False
    assert VALUES["generatePostgresqlPasswordSecret"] is False
    assert "postgresqlPassword" not in VALUES["postgresql"]
    assert VALUES["dagsterDaemon"]["runMonitoring"]["enabled"] is True


def test_one_image_serves_all_of_kubernetes() -> None:
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    job = yaml.safe_load((DEPLOY / "kubernetes" / "migrate.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    server, _service = yaml.safe_load_all((DEPLOY / "kubernetes" / "server.yaml").read_text())
    (serving,) = server["spec"]["template"]["spec"]["containers"]
    assert serving["image"] == container["image"]
    assert_understood(serving["command"])
    assert VALUES["dagsterWebserver"]["replicaCount"] == 0
    images = [VALUES["dagsterWebserver"]["image"], VALUES["dagsterDaemon"]["image"], deployment["image"]]
    assert {f"{image['repository']}:{image['tag']}" for image in images} == {container["image"]}
    for words in commands_of(container["command"]):
        assert_understood(words)


# --- least privilege ---


def test_nothing_believes_every_address_about_its_callers() -> None:
    commands = [COMPOSE["services"]["server"]["command"], *(one["command"] for _, one in pods())]
    trusted = [word.partition("=")[2] for words in commands for word in words if word.startswith("--forwarded-allow")]
    assert len(trusted) == 2
    assert not {"", "*"} & set(trusted)
    gateway = COMPOSE["networks"]["default"]["ipam"]["config"][0]["gateway"]
    assert gateway in trusted


def test_no_process_may_become_more_than_it_is() -> None:
    for name in OURS:
        service = COMPOSE["services"][name]
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"]), name
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    contexts = [
        *((pod["securityContext"], container["securityContext"]) for pod, container in pods()),
        *((one["podSecurityContext"], one["securityContext"]) for one in (deployment, VALUES["dagsterDaemon"])),
        (launcher["runK8sConfig"]["podSpecConfig"]["securityContext"], launcher["securityContext"]),
    ]
    assert len(contexts) == 5
    for pod, container in contexts:
        assert (pod["runAsNonRoot"], pod["runAsUser"]) == (True, 1000)
        assert container == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pods() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The pods of our own manifests, each with its one container."""
    texts = [(DEPLOY / "kubernetes" / f"{name}.yaml").read_text() for name in ("server", "migrate")]
    kinds = [one for text in texts for one in yaml.safe_load_all(text) if one["kind"] != "Service"]
    specs = [one["spec"]["template"]["spec"] for one in kinds]
    return [(spec, spec["containers"][0]) for spec in specs]


def test_the_role_in_postgres_owns_its_databases_and_is_no_superuser(server: EmbeddedServer) -> None:
    assert "POSTGRES_USER" not in COMPOSE["services"]["postgres"]["environment"]
    text = (DEPLOY / "postgres-role.sql").read_text()
    statements = [one for one in text.split("\n") if one.startswith("CREATE")]
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.replace("orchestrator", "deployed").replace(":'password'", "'secret'"))
        try:
            rights = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'deployed'"
            assert connection.execute(rights).fetchone() == (False, False, False)
            database = SubscriptionDatabase(uri=server.uri("deployed").replace("postgres@", "deployed:secret@"))
            schema.upgrade(database)
            assert schema.check(database) == []
            database.dispose()
        finally:
            for name in ("deployed", "deployed_dagster"):
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute("DROP ROLE deployed")


def lines(path: Path) -> list[str]:
    """Those of a file that say something."""
    return [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
