"""Tasks for these tests: one whose form has a field of each kind that the web client draws."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr
from pydantic_forms.validators import (
    Choice,
    Divider,
    Hidden,
    Label,
    LongText,
    Timestamp,
    callout,
    choice_list,
    markdown,
    migration_summary,
    read_only_field,
    unique_conlist,
)

from ops.steps.forms import FormGenerator, FormPage, SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.types import Assignee

Colour = Choice.__call__("Colour", {"red": ("red", "Red"), "blue": ("blue", "Blue")})
SUMMARY = {"labels": ["Name"], "headers": ["Before", "After"], "columns": [["a"], ["b"]]}


class Everything(SubmitFormPage):
    """A field of each kind."""

    model_config = ConfigDict(title="Every field")

    name: str = Field(
        min_length=2, max_length=20, pattern="^[a-z]+$", title="Its name", description="what it is called"
    )
    story: LongText = LongText("once")
    colour: Colour = Colour.red  # type: ignore[valid-type,attr-defined]
    colours: choice_list(Colour, min_items=1, max_items=2, unique_items=True)  # type: ignore[valid-type]
    ports: unique_conlist(int, min_items=1)  # type: ignore[valid-type]
    label: Label
    divider: Divider
    text: markdown(content="# Read this")  # type: ignore[valid-type]
    summary: migration_summary(SUMMARY)  # type: ignore[valid-type]
    warning: callout(header="Mind", message="the gap")  # type: ignore[valid-type]
    hidden: Hidden
    moment: Timestamp
    fixed: read_only_field("as it is")  # type: ignore[valid-type]
    perhaps: int | None = None
    size: Annotated[int, Field(ge=1, le=10, multiple_of=2)]
    sure: bool = False
    password: SecretStr = SecretStr("")


def contract_tasks() -> tuple[Any, ...]:
    """A task with every kind of field, and one that asks two pages while it runs."""

    class Where(FormPage):
        site: str = Field(min_length=2)

    class When(SubmitFormPage):
        day: int

    @inputstep("Ask twice", Assignee.NOC)
    def ask_twice() -> FormGenerator:
        where = yield Where
        when = yield When
        return {**where.model_dump(), **when.model_dump()}

    @step("Rest")
    def rest() -> None:
        return None

    @task("Every field", initial_input_form=Everything)
    def every_field() -> Any:
        return begin >> rest

    @task("Ask two pages")
    def ask_pages() -> Any:
        return begin >> ask_twice

    return every_field, ask_pages
