"""The run config of a job: what Dagster's launchpad offers and refuses."""

from enum import Enum
from ipaddress import IPv4Address
from typing import Literal
from uuid import UUID

import pytest
import yaml
from dagster import validate_run_config
from dagster._config import ConfigTypeKind, process_config
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap
from pydantic import BaseModel, Field, SecretStr

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from orchestrator_defs.definitions import defs
from orchestrator_defs.jobs.decorators import create_workflow, modify_workflow, task, validate_workflow
from orchestrator_defs.jobs.launchpad import Launchpad, config_type, only_page
from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Product
from resources.domain.models.vlans import VlanRanges
from resources.domain.subscription_model import SubscriptionModel


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Login(BaseModel):
    password: SecretStr


class Paint(SubmitFormPage):
    colour: Colour
    coats: int = Field(2, description="how many")
    note: str | None = None
    areas: list[float] = Field(default_factory=list)
    key: SecretStr = SecretStr("sesame")
    backup: Login = Login(password="sesame")
    finish: Colour = Colour.BLUE
    vlan: VlanRanges = VlanRanges("2-5")
    maker: str = Field("ACME", description="who")


@step("Nothing")
def nothing() -> None: ...


@task("Paint", initial_input_form=Paint)
def paint():
    return begin >> nothing


@task("Idle")
def idle():
    return begin >> nothing


@create_workflow("Create", initial_input_form=Paint, product_type="Thing")
def create_thing():
    return begin >> nothing


def make_form(product: UUID) -> type[SubmitFormPage]:
    """Needs a database to run."""

    class Page(SubmitFormPage):
        title: str
        areas: list[float]
        coats: int = 2
        maker: str = find_maker(product)

    return Page


def find_maker(_: UUID) -> str:
    raise AssertionError("the form was run")


@create_workflow("Make", initial_input_form=make_form, product_type="Thing")
def make_thing():
    return begin >> nothing


SHIPPED = defs.get_repository_def()
THING = catalogue_id("product", "Thing")
PRODUCTS = [
    Product("Thing", "T", SubscriptionModel, "Thing", ""),
    Product("Better thing", "B", SubscriptionModel, "Thing", ""),
    Product("Other", "O", SubscriptionModel, "Other", ""),
]


@modify_workflow("Modify", initial_input_form=Paint, product_type="Thing")
def modify_thing():
    return begin >> nothing


@validate_workflow("Validate", product_type="Thing")
def validate_thing():
    return begin >> nothing


def errors_of(job, run_config):
    from dagster import DagsterInvalidConfigError

    try:
        validate_run_config(job, run_config)
    except DagsterInvalidConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "inputs",
    [{"colour": "red"}, {"colour": "blue", "coats": 3, "note": None, "areas": [1.5]}],
)
def test_static_one_page_form_takes_its_fields(inputs):
    """One mapping, the fields of the page."""
    assert errors_of(paint, {"inputs": inputs}) == ""


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ({"colour": "green"}, "green"),
        ({"colour": "red", "coats": "many"}, "coats"),
        ({"colour": "red", "sheen": 1}, "sheen"),
        ({"coats": 1}, "colour"),
    ],
)
def test_static_one_page_form_is_checked_by_dagster(inputs, complaint):
    """A wrong choice, type or name is refused in the launchpad, before a run exists."""
    assert complaint in errors_of(paint, {"inputs": inputs})


def inputs_field(workflow):
    """The field `inputs` of the launchpad."""
    return Launchpad(workflow).inputs()


def opens_with(job):
    """What the launchpad of Dagster's page opens with."""
    schema = job.config_mapping.config_schema.config_type
    snapshot = schema.schema_snapshot
    return yaml.safe_load(default_values_yaml_from_type_snap(snapshot, snapshot.get_config_snap(schema.key)))


def fields_of(job):
    """The fields of the one page."""
    return inputs_field(job.workflow).config_type.fields


def test_no_field_has_a_default_of_dagster():
    """What is left out of the config is left out of the page, where the form's own default applies."""
    filled_in = process_config({"inputs": inputs_field(paint.workflow)}, {"inputs": {"colour": "red"}})
    assert filled_in.value == {"inputs": {"colour": "red"}}


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("coats", "how many; default: 2"),
        ("maker", "who; default: ACME"),
        ("finish", "default: blue"),
        ("vlan", "default: 2-5"),
        ("colour", None),
        ("note", None),
        ("areas", None),
    ],
)
def test_a_default_stands_in_the_description(name, description):
    """As people would write it."""
    assert fields_of(paint)[name].description == description


@pytest.mark.parametrize("name", ["key", "backup"])
def test_the_default_of_a_secret_is_not_told(name):
    """Neither itself nor as asterisks."""
    assert fields_of(paint)[name].description is None


def test_the_one_page_is_said_to_be_a_mapping():
    """Because forms of several pages take a list."""
    assert "a mapping of field to value, not a list" in inputs_field(paint.workflow).description


def test_form_of_several_pages_takes_a_list():
    """The pages in order; whether one lacks a field is the form's affair."""
    assert errors_of(create_thing, {"inputs": [{"product": "Thing"}, {"coats": 1}]}) == ""
    assert errors_of(modify_thing, {"inputs": {"subscription_id": "x"}}) != ""


def test_workflow_on_a_subscription_without_a_form_has_one_typed_page():
    """A validation asks for its subscription."""
    assert "subscription_id" in errors_of(validate_thing, {"inputs": {}})
    assert errors_of(validate_thing, {"inputs": {"subscription_id": "id", "version": 3}}) == ""


def test_task_without_a_form_needs_no_inputs():
    """Nothing has to be written to start it."""
    assert errors_of(idle, {}) == ""


@pytest.mark.parametrize("job", [paint, create_thing, modify_thing, validate_thing])
def test_launch_without_inputs_is_refused_before_there_is_a_run(job):
    """The launchpad says "No errors" no longer, and no red run comes of it."""
    assert "inputs" in errors_of(job, {})


@pytest.mark.parametrize("pages", [[], [{"product": "Thing"}]])
def test_launch_without_a_page_is_refused_before_there_is_a_run(pages):
    """With the pages that are wanted."""
    assert errors_of(create_thing, {"inputs": pages}).startswith("create_thing needs 2 pages of input, and ")


def test_value_that_the_launchpad_opened_with_is_refused():
    """A person left it as it was."""
    assert errors_of(make_thing, {"inputs": [{"product": "Thing"}, {"title": "<title>"}]}) == (
        "Page 2 of make_thing is not filled in: write a value for title; leave out what may stay."
    )


def test_launchpad_opens_with_the_pages():
    """A choice as words, the form's defaults that say something, and no secret."""
    assert opens_with(paint)["inputs"] == {
        "colour": "<red or blue>",
        "coats": 2,
        "finish": "blue",
        "maker": "ACME",
    }


def test_launchpad_opens_with_the_fields_of_a_form_that_is_a_function():
    """In their order, as far as its source says."""
    make_thing.config_mapping.offer(PRODUCTS)
    assert opens_with(make_thing)["inputs"] == [
        {"product": "<Thing or Better thing>"},
        {"title": "<title>", "areas": ["<number>"], "coats": 2},
    ]


@pytest.mark.parametrize(("product", "is_taken"), [("Thing", True), (str(THING), True), ("Other", False), ("x", False)])
def test_product_is_a_choice_of_those_that_the_workflow_makes(product, is_taken):
    """By name or by id; a product of another type is none of them."""
    pad = Launchpad(make_thing.workflow)
    pad.offer(PRODUCTS)
    taken = process_config(pad.schema(), {"inputs": [{"product": product}, {"title": "a"}]}).success
    assert taken is is_taken


@pytest.mark.parametrize("job", [paint, idle, create_thing, modify_thing, validate_thing])
def test_every_job_can_be_told_to_go_on_with_a_process(job):
    """The same job, a process's id, and no inputs."""
    assert errors_of(job, {"process": "an id"}) == ""


def test_create_form_is_never_one_page():
    """Its first page chooses the product."""
    assert only_page(create_thing.workflow) is None


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (str, ConfigTypeKind.SCALAR),
        (UUID, ConfigTypeKind.SCALAR),
        (IPv4Address, ConfigTypeKind.SCALAR),
        (Colour, ConfigTypeKind.ENUM),
        (Literal["a", "b"], ConfigTypeKind.ENUM),
        (int | None, ConfigTypeKind.NONEABLE),
        (list[str], ConfigTypeKind.ARRAY),
        (int | str, ConfigTypeKind.ANY),
        (dict[str, int], ConfigTypeKind.ANY),
    ],
)
def test_annotation_has_a_config_type(annotation, kind):
    """What Dagster has no type for is left to the form."""
    found = config_type(annotation, "field")
    assert (found if hasattr(found, "kind") else __import__("dagster").Field(found).config_type).kind == kind


@pytest.mark.parametrize("name", ["answer_process", "abort_process"])
def test_launchpad_of_an_intervention_opens_with_the_process(name):
    """And is refused without one."""
    job = SHIPPED.get_job(name)
    assert opens_with(job)["process"] == "<id of the process>"
    assert "process" in errors_of(job, {})


@task("Repaint", initial_input_form=type("Repaint", (SubmitFormPage,), {"__annotations__": {"coats": int}, "coats": 2}))
def repaint():
    return begin >> nothing


@pytest.mark.parametrize("config", [{}, {"process": "an id"}])
def test_what_was_not_written_is_not_filled_in(config):
    """A form of defaults alone may be left out; it opens with them, and the form applies them by itself."""
    assert opens_with(repaint)["inputs"] == {"coats": 2}
    started = repaint.config_mapping.resolve_from_unvalidated_config(config)["ops"]["start"]["config"]
    assert "inputs" not in started


def test_a_secret_is_refused_with_the_command_that_takes_it():
    """Dagster keeps the run config where every viewer reads it."""
    sentence = errors_of(paint, {"inputs": {"colour": "red", "key": "hush-hush"}})
    assert "Paint asks for a secret (key)".lower() in sentence.lower()
    assert "`orchestrator run paint`" in sentence
    assert "hush-hush" not in sentence
    assert errors_of(paint, {"inputs": {"colour": "red"}}) == ""
