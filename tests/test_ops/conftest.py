"""A workflow of three steps that count their calls and break when they are set to."""

import pytest

from ops.steps.step import StepList, begin, step
from orchestrator_defs.jobs.decorators import WorkflowJob, task
from resources.types import State
from tests.test_ops.counted_steps import Calls


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def three_steps(calls: Calls) -> WorkflowJob:
    @step("First")
    def first() -> State:
        calls.note("first")
        return {"first": 1}

    @step("Second")
    def second(first: int) -> State:
        calls.note("second")
        return {"second": first + 1}

    @step("Third")
    def third(second: int) -> State:
        calls.note("third")
        return {"third": second + 1}

    @task("Count to three")
    def count_to_three() -> StepList:
        return begin >> first >> second >> third

    return count_to_three
