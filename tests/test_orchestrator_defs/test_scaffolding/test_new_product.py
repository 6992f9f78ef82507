"""`orchestrator new` writes a product that works, shows what changes a second time, and keeps what a person wrote."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.main import main
from orchestrator_defs.cli.projects import new
from orchestrator_defs.scaffolding.project import first_product, write_project
from orchestrator_defs.scaffolding.registration import registered
from tests.architecture import ROOT

FIELDS = (
    "prefix:IPv4Network:provisioning",
    "port:Port:provisioning",
    "vlan:int(1..4094):provisioning:modifiable",
    "mode:enum(bgp,static):active:modifiable",
    "asn:int",
    "dns:list(IPv4Address)",
)
LINES = ("resources", "ops", "definitions")
NESTED = """
config: {summary_forms: true}
name: vpn
type: Vpn
description: "a service with points of access, each on a port, and a description so long that it has two lines in code"
fixed_inputs:
  - {name: speed, type: enum, enum_type: int, values: [10, 100]}
  - {name: managed, type: bool}
product_blocks:
  - name: circuit
    type: Circuit
    fields:
      - name: points
        type: list
        list_type: Point
        min_items: 2
        max_items: 8
        required: provisioning
        description: "where customers are connected, one point for each place at which they have equipment of their own"
      - {name: key, type: uuid.UUID, required: provisioning}
      - {name: since, type: datetime, required: active}
      - {name: backup, type: Point}
      - name: mode
        type: enum
        enum_type: str
        values: ["on", "off, for now"]
        required: initial
        default: "on"
        modifiable:
        validations: [{id: mode_may_change, description: "A mode \\"in use\\" stays"}]
  - name: point
    type: Point
    fields:
      - {name: port, type: Port, required: provisioning}
      - {name: vlans, type: list, list_type: int, min_value: 1, max_value: 4094, min_items: 2}
workflows:
  - {name: create, validations: [{id: points_differ, description: "Points are on different ports"}]}
  - {name: validate, validations: [{id: compare_inventory, description: "Compare with the inventory"}]}
  - {name: terminate, validations: [{id: may_end, description: "It is not needed any more"}]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with the product Port, in whose folder commands run."""
    folder = tmp_path / "acme"
    write_project(folder, first_product("Port"))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    forget_acme()


def forget_acme() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


def run(*words: str) -> Result:
    """Execute `orchestrator new`; the code of the project is read anew, as by another process."""
    forget_acme()
    return CliRunner().invoke(main, ["new", *words])


def by_options(*more: str) -> Result:
    return run("--name", "IP prefix", *(word for field in FIELDS for word in ("--field", field)), *more)


def ruff(folder: Path) -> str:
    """What ruff has to say about the code."""
    found = ""
    for words in (("check",), ("format", "--diff")):
        command = [Path(sys.executable).with_name("ruff"), *words, "--no-cache", "."]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        found += done.stdout if done.returncode else ""
    return found


def test_options_make_a_product_with_files_in_every_room(project: Path) -> None:
    done = by_options()

    assert done.exit_code == 0, done.output
    found = {path.relative_to(project).as_posix() for path in project.rglob("*ip_prefix*") if path.is_file()}
    rooms = {f"acme/{room}/ip_prefix.py" for room in LINES}
    beside = {"examples/create_ip_prefix.yaml", "examples/modify_ip_prefix.yaml", "products/ip_prefix.yaml"}
    assert found == rooms | beside | {"tests/test_ip_prefix.py"}


def test_options_and_the_file_that_they_leave_make_the_same(project: Path) -> None:
    by_options()

    assert run("products/ip_prefix.yaml").output == ""


def test_code_of_both_is_as_ruff_would_have_it(project: Path) -> None:
    by_options()
    (project / "vpn.yaml").write_text(NESTED)
    done = run("vpn.yaml")

    assert done.exit_code == 0, done.output
    assert ruff(project) == ""


def test_definitions_name_the_new_product_and_load(project: Path) -> None:
    by_options()
    forget_acme()

    from acme.definitions import defs  # type: ignore[import-not-found]

    assert defs.get_job_def("create_ip_prefix")


@pytest.mark.parametrize("given", [[], ["--beside"]], ids=["shown", "beside"])
def test_what_a_person_has_changed_is_kept(project: Path, given: list[str]) -> None:
    by_options()
    mine = project / "acme" / "ops" / "ip_prefix.py"
    mine.write_text(mine.read_text().replace("def describe(", "# mine\ndef describe("))
    changed = mine.read_text()

    done = run("products/ip_prefix.yaml", *given)

    assert "-# mine" in done.output
    assert mine.read_text() == changed
    assert mine.with_name("ip_prefix.py.new").exists() is bool(given)


def test_a_file_that_nobody_changed_follows_its_description(project: Path) -> None:
    by_options()
    described = project / "products" / "ip_prefix.yaml"
    described.write_text(described.read_text().replace("max_value: 4094", "max_value: 4000"))

    done = run("products/ip_prefix.yaml")

    assert "updated acme/resources/ip_prefix.py" in done.output
    assert "le=4000" in (project / "acme" / "resources" / "ip_prefix.py").read_text()


def test_a_file_that_a_person_removed_does_not_come_back(project: Path) -> None:
    by_options()
    (project / "tests" / "test_ip_prefix.py").unlink()

    assert "left out, you have removed it: tests/test_ip_prefix.py" in run("products/ip_prefix.yaml").output
    assert not (project / "tests" / "test_ip_prefix.py").exists()


def test_a_dry_run_writes_nothing(project: Path) -> None:
    before = sorted(project.rglob("*"))

    assert "would write acme/ops/ip_prefix.py" in by_options("--dry-run").output
    assert [path for path in sorted(project.rglob("*")) if path not in before and "__pycache__" not in path.parts] == []


def test_questions_ask_for_what_options_do_not_say(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new, "_is_terminal", lambda: True)
    answers = ["Transit", "routes to all", "asn", "int(1..70000)", "provisioning", "y", "site", "str", "never", "n", ""]

    done = CliRunner().invoke(main, ["new"], input="\n".join([*answers, ""]))

    assert done.exit_code == 0, done.output
    model = (project / "acme" / "resources" / "transit.py").read_text()
    assert "TransitAsn = Annotated[int, Field(ge=1, le=70000)]" in model
    assert "    site: str | None = None" in model


def test_nobody_is_asked_where_nobody_is(project: Path) -> None:
    done = run("--name", "Transit")

    assert done.exit_code == 1
    assert "name a file, or give --name and --field" in done.output


def test_definitions_that_are_built_otherwise_are_left_to_their_author(project: Path) -> None:
    definitions = project / "acme" / "definitions" / "__init__.py"
    definitions.write_text(definitions.read_text().replace("products=[*port.PRODUCTS]", "products=port.PRODUCTS"))

    done = by_options()

    assert "add to it by hand:" in done.output
    assert "ip_prefix" not in definitions.read_text()


def test_lists_of_many_lines_get_a_line_more() -> None:
    code = """from orchestrator_defs import build_definitions

from acme.resources import port  # a port

defs = build_definitions(
    products=[
        *port.PRODUCTS,  # sold
    ],
    workflows=[],
)
"""
    done = registered(code, "acme", "vpn")

    assert done is not None
    assert "        *port.PRODUCTS,  # sold\n        *vpn.PRODUCTS,\n    ],\n" in done
    assert "workflows=[*vpn_workflows.WORKFLOWS]," in done
    assert registered(done, "acme", "vpn") == done
    compile(done, "definitions", "exec")


def test_a_folder_without_a_project_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert "is no project" in by_options().output


def test_page_describes_products_that_can_be_written(project: Path) -> None:
    """By its commands, as they stand."""
    page = (ROOT / "docs" / "generator.md").read_text()
    (described,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    by_answers, by_file = (shlex.split(line)[2:] for line in re.findall(r"^orchestrator new .*", page, re.MULTILINE))
    (project / by_file[0]).write_text(described.replace("ip_prefix", "prefix").replace("IpPrefix", "Prefix"))

    assert [run(*words).exit_code for words in (by_answers, by_file)] == [0, 0]
    assert ruff(project) == ""


# --- what a description says wrong ---

GOOD = """name: vpn
type: Vpn
product_blocks:
  - name: vpn
    type: Vpn
    fields:
      - name: speed
        type: int
        required: provisioning
"""


@pytest.mark.parametrize(
    ("there", "instead", "sentence"),
    [
        ("name: vpn\ntype", "name: [vpn\ntype", "line 2: this is no YAML"),
        (GOOD, "- vpn\n", "describes no product"),
        (GOOD, "", "describes no product"),
        ("type: int", "type: strng", "line 8: product_blocks[0].fields[0].type is 'strng', and there is no such type"),
        ("type: int", "type: ipaddress.IPv5", "line 8: product_blocks[0].fields[0].type is 'ipaddress.IPv5', which ca"),
        ("type: int", "type: os.path", "which pydantic cannot check"),
        ("        type: int\n", "", "line 7: product_blocks[0].fields[0] has no `type`; give it one."),
        (
            "required: prov",
            "requird: prov",
            "fields[0].requird is no key here; `required` may be meant",
        ),
        ("provisioning", "provisionin", "required is 'provisionin': input should be 'inactive', 'initial', 'provisio"),
        ("name: speed", "name: class", "line 7: product_blocks[0].fields[0].name cannot be 'class', which has a meani"),
        ("name: speed", "name: product", "name cannot be 'product', which has a meaning of its own"),
        ("name: speed", "name: label", "name cannot be 'label', which has a meaning of its own"),
        ("name: speed", "name: Speed", "name is 'Speed'; it is lower-case letters"),
        ("    type: Vpn", "    type: vpn", "line 5: product_blocks[0].type is 'vpn'; it is the name of a class"),
        (
            "    type: Vpn",
            "    type: Port",
            "line 5: product_blocks[0].type is 'Port', a block that the",
        ),
        ("name: vpn\ntype: Vpn", "name: Port\ntype: Vpn", "the project has files of 'port', from orchestrator init"),
        ("name: vpn\ntype: Vpn", "name: vpn\ntype: Port", "line 2: type is 'Port', which another product"),
        ("name: vpn\ntype: Vpn", "name: v!\ntype: Vpn", "line 1: name is 'v!'; it is words of ASCII letters"),
        ("type: int", "type: Vpn", "line 3: product_blocks hold each other in a circle: Vpn"),
        ("type: int", "type: int\n        type: str", "type stands there twice"),
        ("type: int", "type: int\n        min_value: 5\n        max_value: 4", "min_value is 5, and max_value is 4"),
        (
            "type: int",
            "type: int\n        default: many",
            "fields[0].default is 'many', which is no int",
        ),
        ("type: int", "type: list", "has no `list_type`"),
        ("type: int", "type: enum", "has no `values`"),
        ("type: int", "type: enum\n        enum_type: int\n        values: [a]", "values has 'a', which is no int"),
        ("type: int", "type: enum\n        values: [a, a]", "values has 'a' twice"),
        ("provisioning", "initial", "line 9: product_blocks[0].fields[0].required is 'initial', so the field needs a"),
        (
            "    fields:\n",
            "    fields:\n      - name: speed\n        type: str\n",
            "line 9: product_blocks[0].fields[1].name is 'speed', as another before it",
        ),
        (
            "product_blocks:\n",
            "product_blocks:\n  - name: other\n    type: Other\n    fields: [{name: a, type: int}]\n",
            "line 3: product_blocks has several blocks that no other holds: Other, Vpn",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(project: Path, there: str, instead: str, sentence: str) -> None:
    assert there in GOOD
    (project / "vpn.yaml").write_text(GOOD.replace(there, instead, 1))

    done = run("vpn.yaml")

    assert done.exit_code == 1
    assert sentence in done.output
    assert done.output.startswith("Error: vpn.yaml")
    assert len(done.output.splitlines()) == 1
    assert not list(project.rglob("vpn.py"))


def test_a_file_that_is_not_there_is_refused(project: Path) -> None:
    assert run("nothing.yaml").output == "Error: nothing.yaml cannot be read: No such file or directory.\n"
