"""A product in a file of one's own on a PostgreSQL of one's own, alone and beside the shipped network."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.database.embedded import EmbeddedServer
from resources.database.throwaway import fresh_database
from tests.test_acceptance.conftest import PROJECT, Project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own_database")]

OWN = ("-f", "own.py")
SHIPPED = ("-m", "orchestrator_defs")


@pytest.fixture(scope="module")
def site(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """README's example in a folder outside the checkout, and an empty database."""
    folder = tmp_path_factory.mktemp("own")
    readme = (PROJECT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (inputs,) = re.findall(r"```yaml\n(inputs.*?)```", readme, re.DOTALL)
    (folder / "own.py").write_text(example)
    (folder / "domain.yaml").write_text(inputs)
    shutil.copy(PROJECT / "dagster.yaml", folder)
    with fresh_database(server, "template1") as database:
        project = Project(folder, Path(folder))
        project.environment["DATABASE_URI"] = database.uri
        yield project


def orchestrate(site: Project, *words: str) -> str:
    done = site.command("orchestrator", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def alone(site: Project) -> list[str]:
    """What the commands say that lead from the empty database to a subscription."""
    orchestrate(site, "db", "upgrade")
    refused = site.command("orchestrator", *OWN, "run", "create_domain", "-c", "domain.yaml")
    orchestrate(site, *OWN, "catalogue", "apply")
    created = orchestrate(site, *OWN, "run", "create_domain", "-c", "domain.yaml")
    return [refused.stderr, created, orchestrate(site, "subscriptions")]


@pytest.fixture(scope="module")
def both(site: Project, alone: list[str]) -> Project:
    """The same database with the shipped catalogue, too."""
    assert "+ product L2VPN" in orchestrate(site, *SHIPPED, "catalogue", "apply")
    return site


def test_three_commands_lead_from_an_empty_database_to_a_subscription(alone: list[str]) -> None:
    refused, created, subscriptions = alone
    assert "lacks what code location 'own' declares" in refused
    assert "is completed" in created
    assert "Domain example.org" in subscriptions


def test_own_jobs_run_beside_the_shipped_catalogue(both: Project) -> None:
    assert "is completed" in orchestrate(both, *OWN, "run", "create_domain", "-c", "domain.yaml")


def test_applying_one_catalogue_retires_nothing_of_the_other(both: Project) -> None:
    assert "Left alone: 8 products" in orchestrate(both, *OWN, "catalogue", "apply")
    for code in (OWN, SHIPPED):
        orchestrate(both, *code, "catalogue", "plan", "--check")


def test_doctor_of_one_names_the_rows_of_the_other_and_advises_no_apply(both: Project) -> None:
    advice = both.command("orchestrator", *OWN, "doctor").stdout
    assert "8 products, 6 product blocks and 21 workflows of 'orchestrator'" in advice
    assert "then run `orchestrator catalogue apply`" not in advice
