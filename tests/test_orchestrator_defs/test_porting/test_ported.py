"""A project of orchestrator-core in its usual form, carried over by the command: what is written runs."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.main import main
from orchestrator_defs.jobs.orchestrator import Orchestrator, orchestrator_of
from orchestrator_defs.testing import Testbed
from resources.types import SubscriptionLifecycle
from tests.architecture import ROOT

KINDS = (".py", ".yaml", ".json")
SOURCE = ROOT / "tests" / "ported"


def port(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["port-code", str(folder), *arguments])


def texts(folder: Path) -> dict[Path, str]:
    return {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.suffix in KINDS}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the project, with the package `network` in it."""
    folder = tmp_path_factory.mktemp("ported") / "network"
    shutil.copytree(SOURCE, folder)
    assert port(folder).exit_code == 1
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture
def bed(network: Path, testbed_of: Callable[..., Testbed]) -> Testbed:
    made: Orchestrator = orchestrator_of(importlib.import_module("network.definitions").defs)
    return testbed_of(made.own_jobs, made.catalogue.products)


def create_site(bed: Testbed) -> Any:
    pages = [{"product": "Site"}, {"customer_id": "acme", "site_code": "ams001-x", "kind": "edge"}]
    run = bed.run("create_site", pages)
    run.assert_completed()
    return run


def test_a_site_is_created_and_modified(bed: Testbed) -> None:
    """With its form, its client, its description, and the query for the session of the step."""
    run = create_site(bed)
    made = run.subscription
    assert (made.status, made.description, made.site.crm_id) == (SubscriptionLifecycle.ACTIVE, "edge site ams001", 1)
    run.assert_state({"active": 0})
    modified = bed.run("modify_site", [{"subscription_id": str(made.subscription_id)}, {"site_code": "ams002"}])
    modified.assert_completed()
    assert modified.subscription.site.site_code == "ams002"


def test_an_uplink_waits_for_its_carrier_and_for_the_noc(bed: Testbed) -> None:
    """The callback, the question, the block of the site in it, and the fixed input that a migration gave."""
    site = create_site(bed).subscription_id
    page = {"customer_id": "acme", "site_id": str(site), "interface": "ge-0"}
    run = bed.run("create_uplink", [{"product": "Uplink 10G"}, page])
    run.assert_awaiting_callback()
    run.callback({"state": "delivered"})
    run.assert_suspended(at="confirm")
    run.answer({})
    run.assert_completed()
    made = run.subscription
    assert (made.speed, made.description, made.uplink.site.owner_subscription_id) == (10_000, "10000M from ge-0", site)


def test_each_room_imports_down_and_what_it_uses(network: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F,E9", "network", "--output-format=concise"],
        cwd=network,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"network/.*", checked.stdout) == [
        "network/ops/ring/audit.py:10:22: F821 Undefined name `query_in_use_by_subscriptions`"
    ]
    for room, above in (("resources", "ops|definitions"), ("ops", "definitions")):
        for path in (network / "network" / room).rglob("*.py"):
            assert not re.search(rf"network\.({above})|orchestrator\.core", path.read_text()), path


def test_steps_lie_in_one_room_and_forms_and_workflows_in_another(network: Path) -> None:
    """A form that a step uses lies with the steps; comments and the form of the code stay."""
    ops, definitions = ((network / "network" / room).joinpath("site/create_site.py") for room in ("ops", "definitions"))
    assert re.findall(r"^(?:def|class) (\w+)", ops.read_text(), re.MULTILINE) == ["construct_site", "register_in_crm"]
    assert re.findall(r"^def (\w+)", definitions.read_text(), re.MULTILINE) == [
        "initial_input_form_generator",
        "create_site",
    ]
    shared = (network / "network" / "ops" / "shared.py").read_text()
    assert "# How many of them a page shows.\nSHOWN = 10" in shared
    assert "def confirm_form" in shared
    assert '{"active": active_subscriptions()}  # as the dashboard does' in shared
    before = (SOURCE / "workflows" / "site" / "create_site.py").read_text()
    assert before[before.index("@step(") : before.index("@create_workflow")].rstrip() in ops.read_text()


LEFT = [
    ("main.py", 1, "orchestrator serve"),
    ("products/__init__.py", 14, 'Product "Ring": No migration here has it'),
    ("translations", 1, "is not carried over"),
    ("workflows/ring/audit.py", 3, "in_use_by_subscriptions answers with a list"),
    ("workflows/uplink/create_uplink.py", 78, "callback_step: The answer is under `callback_result`"),
]


def test_what_is_left_for_a_person_is_listed_with_file_and_line(tmp_path: Path) -> None:
    folder = tmp_path / "fabric"
    shutil.copytree(SOURCE, folder)
    report = json.loads(port(folder, "--json").stdout)
    for found, (file, line, sentence) in zip(report["left"], LEFT, strict=True):
        assert (found["file"], sentence in found["sentence"]) == (file, True), found
        assert abs(found["line"] - line) < 3, found
    assert "fabric/definitions/__init__.py" in report["written"]


def test_a_second_time_writes_nothing_and_leaves_changed_files_alone(network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "network"
    shutil.copytree(network, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = texts(folder)
    assert "0 files of the package network are written" in port(folder).stdout
    assert texts(folder) == before
    mine = folder / "network" / "ops" / "shared.py"
    mine.write_text("MINE = 1\n")
    again = port(folder)
    assert "network/ops/shared.py:1: It is there and differs" in again.stdout
    assert mine.read_text() == "MINE = 1\n"


def test_a_dry_run_shows_differences_and_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "fabric"
    shutil.copytree(SOURCE, folder)
    shown = port(folder, "--dry-run").stdout
    assert "--- workflows/site/create_site.py\n+++ fabric/ops/site/create_site.py" in shown
    assert "+from fabric.resources.products.product_types.site import" in shown
    assert texts(folder) == texts(SOURCE)


def project(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / "own" / f"{name.replace('__', '/', 1)}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "own"


REGISTRY = (
    "from orchestrator.domain import SUBSCRIPTION_MODEL_REGISTRY\n"
    "from products.box import Box\n\n"
    'SUBSCRIPTION_MODEL_REGISTRY.update({"Box": Box})\n'
)
BOX = (
    "from orchestrator.domain.base import SubscriptionModel\n\nclass Box(SubscriptionModel, is_base=True):\n    pass\n"
)
BOXES = 'new = {"products": {"Box": {"product_type": "Box", "tag": "BOX", "description": "a box"}}}\n'


def test_nothing_left_is_exit_code_zero_and_code_that_cannot_be_read_is_two(tmp_path: Path) -> None:
    known = project(tmp_path / "a", products____init__=REGISTRY, products__box=BOX, migrations__one=BOXES)
    whole = port(known)
    assert (whole.exit_code, "left" in whole.stdout) == (0, False), whole.stdout
    broken = port(project(tmp_path / "b", products__box="def (:\n"))
    assert (broken.exit_code, "cannot be carried over" in broken.stderr) == (2, True)
    assert not (tmp_path / "b" / "own" / "own").exists()


def test_products_and_product_types_that_are_nowhere_written_out_are_left(tmp_path: Path) -> None:
    workflow = (
        "from orchestrator.core.targets import Target\n"
        "from orchestrator.core.workflow import workflow\n\n\n"
        '@workflow("Grow", target=Target.MODIFY)\n'
        "def grow_box():\n"
        "    pass\n"
    )
    shown = port(project(tmp_path, products__box=BOX, workflows__box=workflow)).stdout
    assert "own/definitions/__init__.py:1: No SUBSCRIPTION_MODEL_REGISTRY.update" in shown
    assert "workflows/box.py:6: grow_box: Give its decorator `product_type=`" in shown


def test_imports_inside_functions_and_of_whole_modules_are_carried_over(tmp_path: Path) -> None:
    inside = (
        "from orchestrator.core.workflow import step\n"
        "from workflows import helpers\n\n\n"
        '@step("One")\n'
        "def one():\n"
        "    from orchestrator.core.types import State\n"
        "    from workflows.helpers import help_out\n"
        "    return help_out(State) or helpers.help_out(1)\n"
    )
    folder = project(tmp_path, workflows__steps=inside, workflows__helpers="def help_out(x):\n    return x\n")
    port(folder)
    text = (folder / "own" / "ops" / "steps.py").read_text()
    assert "from own.ops import helpers" in text
    assert "    from resources import State\n    from own.ops.helpers import help_out\n" in text


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("from orchestrator.core.workflow import *", "*: It has no counterpart"),
        ("import orchestrator.core.db", "has no counterpart that the table knows"),
        ("from orchestrator.core.nowhere import thing", "thing: It has no counterpart"),
        ("from orchestrator.core.db import db", "current_session() is the session"),
    ],
)
def test_what_the_table_cannot_place_is_left_for_a_person(tmp_path: Path, line: str, sentence: str) -> None:
    used = f"{line}\nVALUE = (db, thing, orchestrator)\n"
    result = port(project(tmp_path, services__x=used))
    assert (result.exit_code, sentence in result.stdout) == (1, True), result.stdout
    assert "services/x.py:1:" in result.stdout
