"""The form with which people schedule a task: which, with which inputs, and when.

Its result is the body of a POST to the schedules.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_forms.validators import Choice, Timestamp

from ops.starting.admission import start_form
from ops.starting.permission import check_may_start
from ops.steps.context import Scope
from ops.steps.forms import FormGenerator, FormPage, SubmitFormPage, holds_secret
from ops.steps.workflow import Workflow
from resources import clock
from resources.catalogue.entries import workflow_named
from resources.errors import FormError, NotAuthorised, ScheduleInvalid
from resources.processes.triggers import check_trigger, from_crontab
from resources.types import State

KEY = "configure_schedule"
"""The name of the form."""

ResourcesOf: TypeAlias = Callable[[Workflow], AbstractContextManager[Mapping[str, Any]]]


class Frequency(StrEnum):
    """The kinds of schedule, as people see them."""

    ONCE = "once"
    INTERVAL = "interval"
    CRON = "cron"


FREQUENCIES = {Frequency.ONCE: "Once", Frequency.INTERVAL: "At an interval", Frequency.CRON: "By cron"}
INTERVALS: Mapping[str, tuple[str, dict[str, int]]] = {
    **{f"{n}h": (f"{n} hours" if n > 1 else "1 hour", {"hours": n}) for n in (1, 2, 4, 12, 24)},
    **{f"{n}w": (f"{n} weeks" if n > 1 else "1 week", {"weeks": n}) for n in (1, 2, 4)},
}


def _choice(name: str, labels: Mapping[str, str]) -> Any:
    members = {f"option_{number}": pair for number, pair in enumerate(labels.items())}
    return Choice.__call__(name, members)


def _from_now_on(moment: int) -> int:
    try:
        is_past = datetime.fromtimestamp(moment, UTC) <= clock.now()
    except (ValueError, OverflowError, OSError):
        raise ValueError("there is no such date") from None
    if is_past:
        raise ValueError("that moment has passed")
    return moment


def _cron(text: str) -> str:
    try:
        from_crontab(text)
    except ScheduleInvalid as error:
        raise ValueError(str(error)) from None
    return text


def _zone(name: str) -> str:
    try:
        check_trigger("cron", {"minute": 0, "timezone": name})
    except ScheduleInvalid:
        raise ValueError(f"there is no time zone {name!r}; give one such as Europe/Amsterdam") from None
    return name


Moment = Annotated[Timestamp, AfterValidator(_from_now_on)]


class OncePage(SubmitFormPage):
    """When."""

    model_config = ConfigDict(title="Once")

    run_at: Moment

    def trigger(self) -> tuple[str, dict[str, Any]]:
        """The trigger and its arguments."""
        return "date", {"run_date": _moment(self.run_at)}


class IntervalPage(SubmitFormPage):
    """How often."""

    model_config = ConfigDict(title="At an interval")

    first_run_at: Moment
    interval: _choice("Interval", {key: label for key, (label, _) in INTERVALS.items()})  # type: ignore[valid-type]

    def trigger(self) -> tuple[str, dict[str, Any]]:
        """The trigger and its arguments."""
        return "interval", INTERVALS[str(self.interval.value)][1] | {"start_date": _moment(self.first_run_at)}


class CronPage(SubmitFormPage):
    """At which times."""

    model_config = ConfigDict(title="By cron")

    cron: Annotated[str, Field(title="Cron", max_length=200), AfterValidator(_cron)] = "0 0 * * *"
    timezone: Annotated[str, Field(max_length=100), AfterValidator(_zone)] = "UTC"

    def trigger(self) -> tuple[str, dict[str, Any]]:
        """The trigger and its arguments."""
        return "cron", from_crontab(self.cron, self.timezone)


LAST_PAGES: Mapping[str, type[OncePage | IntervalPage | CronPage]] = {
    Frequency.ONCE: OncePage,
    Frequency.INTERVAL: IntervalPage,
    Frequency.CRON: CronPage,
}


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def schedule_form(
    workflows: Callable[[], Mapping[str, Workflow]], resources_of: ResourcesOf = lambda _: nullcontext({})
) -> Callable[..., FormGenerator]:
    """Make the form for the tasks among these workflows.

    It needs a transaction, and `user` in the state, with the claims that authorisation callbacks need: a user may
    choose the tasks that the user may start. `resources_of` sets up the external systems of a task's form.
    """

    def configure_schedule(user: Any) -> FormGenerator:
        """The task, the task's own pages, and when it is to start."""
        known = {one.name: one for one in workflows().values() if one.is_task and _may_start(one, user)}
        if not known:
            raise FormError("There is no task that you may start.")
        names = {name: one.description for name, one in sorted(known.items(), key=lambda pair: pair[1].description)}

        class TaskPage(FormPage):
            model_config = ConfigDict(title="Schedule a task")
            task: _choice("Task", names)  # type: ignore[valid-type]

        chosen = yield TaskPage
        workflow = known[str(chosen.task.value)]
        with resources_of(workflow) as resources:
            inputs = yield from _pages_of(workflow, Scope(resources=resources), user)

        class FrequencyPage(FormPage):
            model_config = ConfigDict(title=workflow.description)
            schedule_name: Annotated[str, Field(min_length=1, max_length=255)] = workflow.description[:255]
            frequency: _choice("Frequency", FREQUENCIES)  # type: ignore[valid-type]

        often = yield FrequencyPage
        when = yield LAST_PAGES[str(often.frequency.value)]
        trigger, trigger_kwargs = when.trigger()
        return {
            "scheduled_type": "create",
            "name": often.schedule_name,
            "workflow_name": workflow.name,
            "workflow_id": str(workflow_named(workflow.name).workflow_id),
            "trigger": trigger,
            "trigger_kwargs": trigger_kwargs,
            "user_inputs": inputs,
        }

    return configure_schedule


def _may_start(workflow: Workflow, user: Any) -> bool:
    try:
        check_may_start(workflow, user)
    except NotAuthorised:
        return False
    return True


def _pages_of(workflow: Workflow, scope: Scope, user: str) -> Generator[type[BaseModel], Any, list[dict[str, Any]]]:
    """A workflow's own form, page by page; the filled pages, as JSON."""
    state: State = {"reporter": user, "workflow_name": workflow.name, "workflow_target": workflow.target.value}
    pages = start_form(workflow, scope)(state)
    inputs: list[dict[str, Any]] = []
    filled: Any = None
    while True:
        try:
            page = pages.send(filled)
        except StopIteration:
            return inputs
        if not page.model_fields:
            filled = page()
        else:
            if holds_secret(page):
                raise FormError(f"{workflow.name} asks for a secret, which a schedule would store readably.")
            filled = yield _with_next(page)
        inputs.append(filled.model_dump(mode="json"))


def _with_next(page: type[BaseModel]) -> type[BaseModel]:
    """The page with a next page: here it is never the last."""
    return type(page.__name__, (page,), {"meta__": {"hasNext": True}, "__module__": page.__module__})
