"""Branches as they are declared and merged: keys, order, agreement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.steps.branches import Change, check_agree
from ops.steps.lifecycle_steps import resync
from ops.steps.state import Delta
from ops.steps.step import Branch, begin, enumerate_steps, focussteps, step, step_group
from ops.steps.workflow import Workflow
from ops.waiting.parallel import parallel
from resources.errors import BranchesDisagree, StepsChanged, WorkflowDeclarationError
from resources.types import Target


def workflow_of(steps):
    return Workflow("w", "w", Target.SYSTEM, steps)


@step("One")
def one() -> None: ...


@step("Two")
def two() -> None: ...


@step("Three")
def three() -> None: ...


@step("Four")
def four() -> None: ...


# --- the declaration ---


def test_steps_have_the_keys_in_a_branch_that_they_have_outside():
    """So a step may be moved into a branch while processes run."""
    steps = begin >> one >> parallel(begin >> two >> one, three) >> four
    assert [place.key for place in enumerate_steps(steps)] == ["one", "two", "one_2", "three", "join_two", "four"]


@pytest.mark.parametrize("branches", [(), (one,), (one, begin)])
def test_less_than_two_branches_are_refused(branches):
    with pytest.raises(WorkflowDeclarationError, match="two branches or more"):
        parallel(*branches)


def test_branches_do_not_nest():
    with pytest.raises(WorkflowDeclarationError, match="do not nest"):
        parallel(one, parallel(two, three))


def test_group_with_branches_is_refused():
    with pytest.raises(WorkflowDeclarationError, match="Both"):
        list(enumerate_steps(begin >> step_group("Both", begin >> one >> parallel(two, three))))


def test_lens_around_branches_is_refused():
    """Both would change its one key."""
    with pytest.raises(WorkflowDeclarationError, match="put it inside each"):
        focussteps("part")(begin >> parallel(one, two))


def test_step_that_lets_go_of_everything_is_refused_in_a_branch():
    with pytest.raises(WorkflowDeclarationError, match="unlocks"):
        parallel(one, begin >> two >> resync)


# --- what is left, whose turn it is ---


@pytest.mark.parametrize(
    ("done", "left"),
    [
        ([], ["one", "two", "three", "four", "join_two"]),
        (["one", "two"], ["three", "four", "join_two"]),
        (["one", "four"], ["two", "three", "join_two"]),
        (["three"], ["four", "join_two"]),  # `two` is new before it
        (["join_two"], []),
    ],
)
def test_what_is_behind_is_so_in_its_own_branch(done, left):
    """But what is behind a step after the join is behind in all of them, and a step before the fork in none."""
    spec = workflow_of(begin >> one >> parallel(begin >> two >> three, four))
    assert [place.key for place in spec.left(done)] == left


def test_branches_fit_in_any_order_of_their_steps():
    spec = workflow_of(begin >> one >> parallel(begin >> two >> three, four))
    spec.check_fits(["one", "four", "two", "three", "join_two"])
    spec.check_fits(["one", "two", "four", "three"])


@pytest.mark.parametrize("done", [["three", "two"], ["two", "one"], ["join_two", "four"]])
def test_steps_in_another_order_do_not_fit(done):
    spec = workflow_of(begin >> one >> parallel(begin >> two >> three, four))
    with pytest.raises(StepsChanged, match="another place"):
        spec.check_fits(done)


# --- merging ---


KEYS = st.sampled_from(["x", "y", "z"])


VALUES = st.sampled_from([0, 1, True, None, "a", [1]])


DELTAS = st.builds(
    lambda set_, removed: Delta(set_, sorted(removed - set(set_))),
    st.dictionaries(KEYS, VALUES, max_size=2),
    st.sets(KEYS, max_size=1),
)


BRANCHES = st.lists(st.lists(DELTAS, max_size=3), min_size=2, max_size=3)


def fold(state, changes):
    for change in changes:
        state = change.delta.applied_to(state)
    return state


def interleaved(branches, draw):
    """The changes of branches in some order that keeps that of each."""
    queues = [
        [Change(Branch("join", number), f"step {number}.{at}", delta) for at, delta in enumerate(deltas)]
        for number, deltas in enumerate(branches, 1)
    ]
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        yield queue.pop(0)


@given(branches=BRANCHES, data=st.data())
def test_order_of_branches_does_not_matter_when_they_agree(branches, data):
    """The state at the join is the same whichever branch was faster; or they disagree in every order."""
    before = {"x": "before", "w": 1}
    one_order = list(interleaved(branches, data.draw))
    other_order = list(interleaved(branches, data.draw))
    try:
        check_agree(one_order)
    except BranchesDisagree:
        with pytest.raises(BranchesDisagree):
            check_agree(other_order)
    else:
        assert fold(before, one_order) == fold(before, other_order)


@given(deltas=st.lists(DELTAS, max_size=4))
def test_a_branch_never_disagrees_with_itself(deltas):
    check_agree(Change(Branch("join", 1), "step", delta) for delta in deltas)


@given(value=VALUES, other=VALUES)
def test_branches_agree_on_equal_values_only(value, other):
    """Equal as JSON: 1 and true are not."""
    changes = [
        Change(Branch("join", 1), "A", Delta({"x": value}, [])),
        Change(Branch("join", 2), "B", Delta({"x": other}, [])),
    ]
    if value == other and type(value) is type(other):
        check_agree(changes)
    else:
        with pytest.raises(BranchesDisagree, match="'x'"):
            check_agree(changes)


def test_removed_key_against_a_set_one_is_a_disagreement():
    changes = [Change(Branch("join", 1), "A", Delta({"x": 1}, [])), Change(Branch("join", 2), "B", Delta({}, ["x"]))]
    with pytest.raises(BranchesDisagree, match="has removed it"):
        check_agree(changes)
