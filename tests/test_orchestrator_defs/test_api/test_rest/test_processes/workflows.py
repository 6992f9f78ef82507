"""Workflows for tests of the routes: tasks that ask, fail, wait for people and for other systems."""

from typing import Any

from pydantic import Field, SecretStr, field_validator

from ops.steps.forms import FormGenerator, FormPage, SubmitFormPage
from ops.steps.predicates import no_uncompleted_instance
from ops.steps.step import begin, step
from ops.waiting.wait_steps import callback_step, inputstep, retrystep
from orchestrator_defs.jobs.decorators import task
from resources.types import Assignee, State


class Outside:
    """What is outside of the processes: which steps fail, and where to call back."""

    def __init__(self) -> None:
        self.is_broken = True
        self.route = ""


def toy_tasks(outside: Outside) -> tuple[Any, ...]:
    """A task without a form, one of two pages, one that fails, one that asks, one that is called back."""

    class Site(FormPage):
        site: str = Field(min_length=2)

        @field_validator("site")
        @classmethod
        def is_ours(cls, site: str) -> str:
            if site == "moon":
                raise ValueError("we have no site there")
            return site

    class Rack(SubmitFormPage):
        rack: int
        password: SecretStr = SecretStr("unset")

    def two_pages() -> FormGenerator:
        site = yield Site
        rack = yield Rack
        return {**site.model_dump(), "rack": rack.rack, "password": rack.password}

    class Approval(SubmitFormPage):
        approved: bool

    @inputstep("Approve", Assignee.NOC)
    def approve(state: State) -> FormGenerator:
        page = yield Approval
        filled: State = page.model_dump()
        return filled

    @step("Look")
    def look() -> State:
        return {"looked": True}

    @step("Break")
    def break_down() -> State:
        if outside.is_broken:
            raise RuntimeError("the cable is cut")
        return {"mended": True}

    @retrystep("Try")
    def try_on() -> None:
        raise RuntimeError("not yet")

    @step("Order")
    def order(callback_route: str) -> None:
        outside.route = callback_route

    @step("Check")
    def check() -> None:
        return None

    @task("Look around")
    def look_around() -> Any:
        return begin >> look

    @task("Build a rack", initial_input_form=two_pages)
    def build_rack() -> Any:
        return begin >> look

    @task("Fail")
    def fail() -> Any:
        return begin >> look >> break_down

    @task("Ask")
    def ask() -> Any:
        return begin >> look >> approve >> break_down

    @task("Order a cable")
    def order_cable() -> Any:
        return begin >> callback_step("cable", order, check) >> look

    @task("Try on")
    def try_it() -> Any:
        return begin >> try_on

    @task("One at a time", run_predicate=no_uncompleted_instance)
    def one_at_a_time() -> Any:
        return begin >> look

    return look_around, build_rack, fail, ask, order_cable, try_it, one_at_a_time
