"""Steps and lists of steps."""

import pytest

from ops.steps.step import When, begin, conditional, enumerate_steps, focussteps, step, step_group
from resources.errors import WorkflowDeclarationError


@step("One")
def one() -> None: ...


@step("Two")
def two() -> None: ...


@step("Three")
def three() -> None: ...


def keys(steps):
    return [place.key for place in enumerate_steps(steps)]


def test_chain_keeps_order():
    """Steps stand in the order in which they are chained."""
    assert keys(begin >> one >> two >> three) == ["one", "two", "three"]


def test_chain_is_associative():
    """It does not matter how a chain is bracketed."""
    assert (begin >> one) >> (begin >> two >> three) == begin >> (one >> two) >> three


def test_chain_refuses_a_plain_function():
    """A function that is not a step is named in the refusal, with what to do."""
    with pytest.raises(WorkflowDeclarationError, match=r"function.*@step"):
        begin >> print


def test_slice_is_a_step_list():
    """A slice of a list can be chained on."""
    assert keys((begin >> one >> two >> three)[1:] >> one) == ["two", "three", "one"]


def test_key_comes_from_the_function():
    """The label may change freely; the key does not follow it."""

    @step("Anything at all")
    def reserve() -> None: ...

    assert reserve.key == "reserve"


def test_lambda_is_refused():
    """A step without a name would have no identity."""
    with pytest.raises(WorkflowDeclarationError, match="name"):
        step("Nameless")(lambda: None)


def test_step_used_twice_gets_two_keys():
    """The ledger tells the two apart."""
    assert keys(begin >> one >> two >> one) == ["one", "two", "one_2"]


def test_group_puts_its_name_before_its_steps():
    """Keys inside a group are `group.step`, as Dagster names them."""
    assert keys(begin >> step_group("Both", begin >> one >> two, key="both") >> three) == [
        "both.one",
        "both.two",
        "three",
    ]


def test_group_keeps_its_key_when_relabelled():
    """A group's key does not come from its label."""
    assert step_group("A", begin >> one).key == step_group("B", begin >> one).key


def test_empty_group_is_refused():
    """A group of nothing would be a graph without nodes."""
    with pytest.raises(WorkflowDeclarationError, match="no steps"):
        step_group("Nothing", begin)


def test_groups_do_not_nest():
    """A group inside a group is refused, naming the outer one."""
    inner = step_group("Inner", begin >> one)
    with pytest.raises(WorkflowDeclarationError, match="Outer"):
        keys(begin >> step_group("Outer", begin >> inner))


def test_conditional_wraps_each_step():
    """A condition on a list is a condition on each of its steps."""
    wrapped = conditional(lambda state: True)(begin >> one >> two)
    assert [len(item.wrappers) for item in wrapped] == [1, 1]


def test_conditional_keeps_callbacks():
    """Wrapping a step does not lose who may retry it."""

    def nobody(context):
        return False

    guarded = step("Guarded", retry_auth_callback=nobody)(one.function)
    assert conditional(lambda state: True)(guarded)[0].retry_auth_callback is nobody


def test_wrappers_stand_outermost_first():
    """A condition around a focus sees the whole state, one inside it the part."""
    outer = conditional(lambda state: True)(focussteps("part")(one))[0]
    inner = focussteps("part")(conditional(lambda state: True)(one))[0]
    assert isinstance(outer.wrappers[0], When)
    assert isinstance(inner.wrappers[1], When)
