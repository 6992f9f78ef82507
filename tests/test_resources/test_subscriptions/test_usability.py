"""The reasons why a workflow may not run on a subscription."""

from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue, WorkflowEntry
from resources.database.session import StatementCount, current_session
from resources.database.tables import SubscriptionTable
from resources.domain.saving.headers import subscription_header
from resources.errors import UnknownSubscription
from resources.subscriptions.usability import DEFAULT_RULES, Obstacle, why_not_usable
from resources.types import Target
from tests.test_resources.test_domain.samples import block, hold, model, process, product, subscribe

NODE = model("UsableModel", {"node": block("Node", {})})
MODIFY_NODE = WorkflowEntry("modify_node", Target.MODIFY, "Modify a node", False, ("Node",))
RECONCILE_NODE = WorkflowEntry("reconcile_node", Target.RECONCILE, "Reconcile a node", False, ("Node",))


@pytest.fixture
def node(session: Session) -> UUID:
    """The id of a product to subscribe to."""
    Catalogue([product(NODE)], [MODIFY_NODE]).apply()
    return catalogue_id("product", "Node")


def why_not(subscription_id: UUID, target: Target = Target.MODIFY) -> list[Obstacle]:
    return why_not_usable(subscription_header(subscription_id), target, DEFAULT_RULES[target])


def reasons(subscription_id: UUID, target: Target = Target.MODIFY) -> list[str]:
    return [obstacle.reason for obstacle in why_not(subscription_id, target)]


def test_nothing_stands_in_the_way_of_an_active_subscription_in_sync(node: UUID) -> None:
    assert why_not(subscribe(node)) == []


@pytest.mark.parametrize(
    ("target", "status", "usable"),
    [
        (Target.MODIFY, "active", True),
        (Target.MODIFY, "provisioning", False),
        (Target.TERMINATE, "active", True),
        (Target.TERMINATE, "provisioning", True),
        (Target.TERMINATE, "terminated", False),
        (Target.VALIDATE, "active", True),
        (Target.VALIDATE, "provisioning", False),
        (Target.RECONCILE, "active", True),
        (Target.CREATE, "active", False),
    ],
)
def test_each_target_has_its_statuses(node: UUID, target: Target, status: str, usable: bool) -> None:
    assert (reasons(subscribe(node, status=status), target) == []) is usable


def test_a_wrong_status_says_which_would_do(node: UUID) -> None:
    (obstacle,) = why_not(subscribe(node, status="initial"), Target.TERMINATE)
    assert obstacle.reason == "subscription.no_modify_invalid_status"
    assert obstacle.details == {
        "usable_when": ["active", "provisioning"],
        "status": "initial",
        "action": "terminated",
    }


def test_a_subscription_out_of_sync_is_refused(node: UUID) -> None:
    assert reasons(subscribe(node, insync=False)) == ["subscription.not_in_sync"]


@pytest.mark.parametrize("target", [Target.VALIDATE, Target.RECONCILE])
def test_validation_and_reconciliation_may_run_out_of_sync(node: UUID, target: Target) -> None:
    assert reasons(subscribe(node, insync=False), target) == []


def test_a_neighbour_out_of_sync_is_named(node: UUID) -> None:
    port, node_used = subscribe(node, "port"), subscribe(node, "ams1", insync=False)
    hold(port, node_used)
    (obstacle,) = why_not(port)
    assert obstacle.reason == "subscription.relations_not_in_sync"
    assert obstacle.details["locked_relations"] == [str(node_used)]
    assert obstacle.details["locked_relations_detail"][0]["description"] == "ams1"
    assert "depends on or is used by subscriptions that are out of sync, 'ams1' (active)" in obstacle.message
    assert obstacle.message.endswith("reconcile them.")


def test_a_subscription_in_use_cannot_be_terminated(node: UUID) -> None:
    port, link = subscribe(node, "port"), subscribe(node, "link")
    hold(link, port)
    (obstacle,) = why_not(port, Target.TERMINATE)
    assert obstacle.reason == "subscription.no_modify_subscription_in_use_by_others"
    assert obstacle.details["unterminated_in_use_by_subscriptions"] == [str(link)]
    assert obstacle.details["action"] == "terminated"


def test_a_subscription_in_use_can_be_modified(node: UUID) -> None:
    port = subscribe(node, "port")
    hold(subscribe(node, "link"), port)
    assert reasons(port) == []


def test_a_locked_subscription_names_the_process_that_holds_it(node: UUID) -> None:
    subscription = subscribe(node)
    holder = process(catalogue_id("workflow", "modify_node"), subscription, status="failed")
    current_session().execute(sa.update(SubscriptionTable).values(locked_by=holder))
    (obstacle,) = why_not(subscription)
    assert obstacle.details == {"locked_by": str(holder), "workflow": "modify_node", "process_status": "failed"}
    assert f"modify_node (process {holder}, failed)" in obstacle.message
    assert f"`orchestrator resume {holder}`, or `orchestrator abort {holder}`." in obstacle.message


@pytest.fixture
def reconcilable(node: UUID) -> UUID:
    """The product, with a workflow that reconciles its subscriptions."""
    Catalogue([product(NODE)], [MODIFY_NODE, RECONCILE_NODE]).apply()
    return node


def test_what_is_out_of_sync_names_the_command_that_reconciles_it(reconcilable: UUID) -> None:
    subscription = subscribe(reconcilable, insync=False)
    (obstacle,) = why_not(subscription)
    command = f"orchestrator run reconcile_node subscription_id={subscription}"
    assert obstacle.message.endswith(f"is out of sync; reconcile it: {command}.")


def test_what_no_workflow_reconciles_names_the_way_out(node: UUID) -> None:
    subscription = subscribe(node, insync=False)
    (obstacle,) = why_not(subscription)
    assert f"orchestrator subscriptions set-in-sync {subscription} --reason WHY" in obstacle.message


def test_neighbours_out_of_sync_name_the_commands_that_reconcile_them(reconcilable: UUID) -> None:
    port, used = subscribe(reconcilable, "port"), subscribe(reconcilable, "ams1", insync=False)
    hold(port, used)
    (obstacle,) = why_not(port)
    assert f"reconcile them: orchestrator run reconcile_node subscription_id={used}." in obstacle.message


def test_no_command_is_advised_that_would_be_refused(reconcilable: UUID) -> None:
    found = why_not(subscribe(reconcilable, status="provisioning", insync=False), Target.MODIFY)
    assert [one.reason for one in found][-1] == "subscription.not_in_sync"
    assert not [one for one in found if "orchestrator run" in one.message]


def test_what_an_aborted_create_left_behind_can_be_terminated(node: UUID) -> None:
    assert why_not(subscribe(node, status="provisioning", insync=False), Target.TERMINATE) == []


def test_all_reasons_are_given_and_the_gravest_first(node: UUID) -> None:
    subscription = subscribe(node, status="terminated", insync=False)
    assert reasons(subscription) == ["subscription.no_modify_invalid_status", "subscription.not_in_sync"]


def test_an_unknown_subscription_is_said_to_be_unknown(node: UUID) -> None:
    with pytest.raises(UnknownSubscription):
        why_not(uuid4())


@pytest.mark.parametrize("neighbours", [0, 20])
def test_the_question_takes_three_statements(node: UUID, statements: StatementCount, neighbours: int) -> None:
    port = subscribe(node, "port")
    for _ in range(neighbours):
        hold(subscribe(node), port)
    header = subscription_header(port)
    statements.clear()
    why_not_usable(header, Target.TERMINATE, DEFAULT_RULES[Target.TERMINATE])
    assert statements.count == 3


@pytest.mark.parametrize("target", [Target.VALIDATE, Target.RECONCILE])
def test_what_may_run_while_out_of_sync_is_judged_by_the_header_alone(
    node: UUID, statements: StatementCount, target: Target
) -> None:
    header = subscription_header(subscribe(node, insync=False))
    statements.clear()
    assert why_not_usable(header, target, DEFAULT_RULES[target]) == []
    assert statements.count == 0


def test_neighbours_are_not_read_for_a_refusal_that_is_not_about_them(node: UUID, statements: StatementCount) -> None:
    header = subscription_header(subscribe(node, status="terminated"))
    statements.clear()
    assert why_not_usable(header, Target.VALIDATE, DEFAULT_RULES[Target.VALIDATE])
    assert statements.count == 1
