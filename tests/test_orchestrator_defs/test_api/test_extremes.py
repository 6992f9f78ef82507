"""Values at and beyond the limits of their types are answered with a sentence at every route: never a server error."""

import random
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.types import Assignee
from tests.scale import Scaled
from tests.test_orchestrator_defs.test_api.extremes import (
    BARE,
    NUMBERS,
    TEXTS,
    VALUES,
    Request,
    by_hand,
    described,
    in_graphql,
)
from tests.toy_network import DEVICE, World, device_workflows

NEXT_PAGE = 510
SECONDS = 5


class Page(SubmitFormPage):
    """A page."""

    name: str
    count: int = 0
    share: float = 0


@inputstep("Who?", assignee=Assignee.NOC)
def who() -> type[SubmitFormPage]:
    return Page


@task("Asking", initial_input_form=Page)
def asking():
    return begin >> who


@pytest.fixture
def served(engine_of, api_of) -> tuple[httpx.Client, list[Request]]:
    """A server with a subscription, a process that waits for an answer and one that failed; its requests."""
    world = World()
    engine = engine_of(asking, *device_workflows(world), products=[DEVICE])
    created = engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "one"}])
    known = {"suspended": str(engine.run("asking", [{"name": "ada"}])), "product": DEVICE.name}
    world.broken = {"configure"}
    known["failed"] = str(engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "two"}]))
    known |= {"process_id": known["failed"], "workflow_key": "asking"}
    known["subscription_id"] = str(engine.process(created).state["subscription_id"])
    api = api_of(engine)
    return api, [*described(api.get("/openapi.json").json(), known), *by_hand(known), *in_graphql(known)]


def fault_of(answer: httpx.Response) -> str | None:
    """Why an answer is none to be proud of."""
    if "internal_error" in answer.text or (answer.status_code >= 500 and answer.status_code != NEXT_PAGE):
        return f"{answer.status_code}: {answer.text[:200]}"
    if answer.status_code >= 400 and not (answer.json().get("detail") or answer.json().get("errors")):
        return f"{answer.status_code} without a sentence"
    return None


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_at_any_place(served: Any, data: st.DataObject) -> None:
    api, requests = served
    request = data.draw(st.sampled_from([one for one in requests if one.places]))
    place = data.draw(st.sampled_from(request.places))
    bare = place[0] == "body" and data.draw(st.booleans())
    free = st.text(max_size=50) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    value = data.draw(st.sampled_from(BARE) if bare else st.sampled_from([*TEXTS, *NUMBERS]) | free)
    assert fault_of(request.send(api, place, value, bare=bare)) is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_extreme_value_at_each_place(served: Any, scaled: Scaled) -> None:
    """All of them at full scale, which takes five minutes; else some, and others each time."""
    api, requests = served
    places = [(request, place) for request in requests for place in request.places]
    tries = [(*one, value, bare) for one in places for value, bare in VALUES if not bare or one[1][0] == "body"]
    found = {}
    for request, place, value, bare in random.sample(tries, min(len(tries), scaled(len(tries), least=600))):
        answer = request.send(api, place, value, bare=bare)
        fault = fault_of(answer) or ("slow" if answer.elapsed.total_seconds() > SECONDS else None)
        if fault:
            found[request.method, request.path, place, str(value)[:50], bare] = fault
    assert found == {}
