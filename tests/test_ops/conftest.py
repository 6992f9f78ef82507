"""A workflow of three steps that count their calls and break when they are told to."""

import pytest

from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from tests.test_ops.counted_steps import Calls


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def three_steps(calls):
    @step("First")
    def first():
        calls.note("first")
        return {"first": 1}

    @step("Second")
    def second(first: int):
        calls.note("second")
        return {"second": first + 1}

    @step("Third")
    def third(second: int):
        calls.note("third")
        return {"third": second + 1}

    @task("Count to three")
    def count_to_three():
        return begin >> first >> second >> third

    return count_to_three
