"""The inputs of a schedule: complete, and without secrets."""

from collections.abc import Iterator, Mapping
from typing import Any

from ops.starting.admission import StartRequest, first_state
from ops.steps.state import SECRET, to_json
from resources.errors import FormIncomplete, ScheduleInvalid


def check_inputs(request: StartRequest) -> list[Any]:
    """Validate the pages against the workflow's form, and return them as JSON. Needs a transaction; writes nothing.

    Raises FormInvalid, StartRefused, and ScheduleInvalid when a page is missing or a secret would be stored.
    """
    try:
        state = first_state(request)
    except FormIncomplete as error:
        raise ScheduleInvalid(str(error)) from error
    pages: list[Any] = to_json(list(request.pages), "The input")
    if request.workflow.has_subscription:  # the beginning of its id may fit others as well, once there are more
        pages[0] = {**pages[0], "subscription_id": str(state["subscription_id"])}
    if set(_secrets(state)) & set(_texts(pages)):
        raise ScheduleInvalid(f"{request.workflow.name} was given a secret, which a schedule would store readably.")
    return pages


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if set(value) == {SECRET}:
            yield str(value[SECRET])
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
