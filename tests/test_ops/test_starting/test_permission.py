"""Who may do what: the table of policies, row by row, through whatever stands around the steps."""

import asyncio
from itertools import product

import pytest

from ops.starting.permission import check_may_resume, check_may_retry, check_may_start, check_role, least_roles
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, conditional, focussteps, step, step_group
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.errors import NotAuthorised
from resources.settings import settings
from resources.types import Assignee
from resources.users import SYSTEM, Role, User

NAMES = ("A", "B", "C", "D")


def only(name):
    """A callback that lets one user pass."""
    return (lambda context: context.user == name) if name else None


def allowed(act):
    """Which of the users may; ANYONE when all of them may."""
    users = [user for user in (*NAMES, "Anyone") if _may(act, user)]
    return users[0] if len(users) == 1 else "Anyone" if len(users) == len(NAMES) + 1 else users


def _may(act, user):
    try:
        act(user)
    except NotAuthorised:
        return False
    return True


TABLE = """
-  -  -  -   Anyone Anyone Anyone Anyone
A  -  -  -   A      A      A      A
-  B  -  -   Anyone B      Anyone B
A  B  -  -   A      B      A      B
-  -  C  -   Anyone Anyone C      C
A  -  C  -   A      A      C      C
-  B  C  -   Anyone B      C      C
A  B  C  -   A      B      C      C
-  -  -  D   Anyone Anyone Anyone D
A  -  -  D   A      A      A      D
-  B  -  D   Anyone B      Anyone D
A  B  -  D   A      B      A      D
-  -  C  D   Anyone Anyone C      D
A  -  C  D   A      A      C      D
-  B  C  D   Anyone B      C      D
A  B  C  D   A      B      C      D
"""
ROWS = [line.replace("-", " None ").split() for line in TABLE.strip().splitlines()]
AROUND = {
    "nothing": lambda one: one,
    "condition": conditional(lambda state: True),
    "lens": focussteps("part"),
    "group": lambda one: step_group("Group", one),
    "all": lambda one: conditional(lambda state: True)(step_group("Group", focussteps("part")(one))),
}


def test_table_has_every_configuration():
    configured = {tuple(row[:4]) for row in ROWS}
    assert configured == set(product(("None", "A"), ("None", "B"), ("None", "C"), ("None", "D")))


def workflow_of(row, around):
    authorize, retry, resume, retry_input = (only(None if name == "None" else name) for name in row[:4])

    class Empty(SubmitFormPage):
        pass

    @inputstep("Ask", Assignee.NOC, resume_auth_callback=resume, retry_auth_callback=retry_input)
    def ask():
        yield Empty
        return {}

    @step("Before")
    def before(): ...

    @step("Behind")
    def behind(): ...

    @task("Guarded", authorize_callback=authorize, retry_auth_callback=retry)
    def guarded():
        return begin >> before >> around(ask) >> behind

    return guarded.workflow


@pytest.mark.parametrize("around", AROUND)
def test_policy(around):
    """Start; retry before the input step; resume at it; retry at it and behind it."""
    assert [decisions(row, AROUND[around]) for row in ROWS] == ROWS


def decisions(row, around):
    """The line of the table that a workflow with these callbacks behaves by."""
    workflow = workflow_of(row, around)
    keys = workflow.step_keys
    place = workflow.ledger_steps[2]
    found = [
        allowed(lambda user: check_may_start(workflow, user)),
        allowed(lambda user: check_may_retry(workflow, keys[:1], user)),
        allowed(lambda user: check_may_resume(workflow, place, user)),
        *(allowed(lambda user, n=n: check_may_retry(workflow, keys[:n], user)) for n in (2, 3)),
    ]
    start, before, resume, at, behind = found
    return [*row[:4], start, before, resume, at if at == behind else f"{at}, then {behind}"]


@pytest.mark.parametrize(("own", "expected"), [(None, "G"), ("D", "D")])
def test_group_names_who_may_retry_its_steps(own, expected):
    """Each of its steps that names nobody, a resume callback notwithstanding; and those behind it."""

    class Empty(SubmitFormPage):
        pass

    @inputstep("Ask", Assignee.NOC, resume_auth_callback=only("C"), retry_auth_callback=only(own))
    def ask():
        yield Empty
        return {}

    @step("Behind")
    def behind(): ...

    @task("Grouped")
    def grouped():
        group = step_group("Group", begin >> ask, retry_auth_callback=lambda context: context.user == "G")
        return begin >> group >> behind

    workflow = grouped.workflow
    for done in (1, 2):
        check_may_retry(workflow, workflow.step_keys[:done], expected)
        with pytest.raises(NotAuthorised):
            check_may_retry(workflow, workflow.step_keys[:done], "C")
    check_may_resume(workflow, workflow.ledger_steps[1], "C")


def test_step_that_is_new_before_the_last_committed_one_hides_no_rule():
    """The input step behind it has been passed."""
    workflow = workflow_of(["None", "None", "C", "None"], AROUND["nothing"])
    with pytest.raises(NotAuthorised):
        check_may_retry(workflow, ["start", "ask"], "A")


async def not_bob(context):
    await asyncio.sleep(0)
    return context.user != "bob"


@task("Later", authorize_callback=not_bob)
def later():
    return begin


def test_answer_that_comes_later_is_waited_for():
    check_may_start(later.workflow, "ada")
    with pytest.raises(NotAuthorised, match="bob may not start later"):
        check_may_start(later.workflow, "bob")


def test_answer_that_comes_later_is_waited_for_inside_an_event_loop():
    """As a server has one in its thread."""

    async def serve():
        check_may_start(later.workflow, "ada")
        with pytest.raises(NotAuthorised):
            check_may_start(later.workflow, "bob")

    asyncio.run(serve())


def test_callback_is_told_what_is_wanted_and_where():
    seen = []

    def note(context):
        seen.append((context.action, context.workflow.name, context.step.key if context.step else None))
        return True

    @step("Only")
    def only_step(): ...

    @task("Noting", authorize_callback=note)
    def noting():
        return begin >> only_step

    workflow = noting.workflow
    check_may_start(workflow, "ada")
    check_may_resume(workflow, workflow.ledger_steps[1], "ada")
    check_may_retry(workflow, ["start"], "ada")
    assert seen == [
        ("start_workflow", "noting", None),
        ("resume_workflow", "noting", "only_step"),
        ("retry_workflow", "noting", "only_step"),
    ]


# --- least roles ---


def guarded(callback=None):
    @task("Guarded", authorize_callback=callback)
    def guarded():
        return begin

    return guarded.workflow


def test_workflows_need_the_strictest_role_that_fits():
    operator, engineer = User("ada", roles=[Role.OPERATOR]), User("grace", roles=[Role.ENGINEER])
    with least_roles({"*": Role.OPERATOR, "terminate_*": Role.ENGINEER}):
        check_role("create_node", operator, "start")
        check_role("terminate_node", engineer, "abort")
        with pytest.raises(NotAuthorised, match="ada may not abort terminate_node: that needs the role engineer"):
            check_role("terminate_node", operator, "abort")


@pytest.mark.parametrize("act", [check_may_start, lambda one, user: check_may_retry(one, [], user)])
def test_environment_decides_where_no_server_does(monkeypatch, request, act):
    """In workers and commands."""
    monkeypatch.setenv("WORKFLOW_ROLES", '{"guard*": "admin"}')
    settings.cache_clear()
    request.addfinalizer(settings.cache_clear)
    act(guarded(), SYSTEM)
    for user in (User("ada", roles=[Role.ENGINEER]), "ada"):
        with pytest.raises(NotAuthorised, match="that needs the role admin"):
            act(guarded(), user)


def test_callback_gets_a_whole_user():
    seen = []
    check_may_start(guarded(lambda context: seen.append(context.user) or True), "ada")
    assert (seen, seen[0].roles, seen[0].claims) == (["ada"], frozenset(), {})


def test_callback_is_not_asked_about_a_user_in_doubt():
    doubtful = User("ada", doubt="Nobody has signed that.")
    check_may_start(guarded(), doubtful)
    with pytest.raises(NotAuthorised, match="Nobody has signed that"):
        check_may_start(guarded(lambda _: True), doubtful)
