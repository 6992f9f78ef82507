"""`orchestrator catalogue`."""

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli import catalogue as command
from orchestrator_defs.cli.catalogue import catalogue
from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue, WorkflowEntry
from resources.database.session import SubscriptionDatabase
from resources.database.tables import ProductTable
from resources.types import Target
from tests.test_resources.test_domain.samples import block, model, product, registry_kept, subscribe

Invoke = Callable[..., Result]
CREATE_NODE = WorkflowEntry("create_node", Target.CREATE, "Create a node", False, ("Node",))
with registry_kept():
    NODE = Catalogue(
        [product(model("CliModel", {"node": block("Node", {"node_name": str, "site": str | None})}))], [CREATE_NODE]
    )
    SMALLER = Catalogue([product(model("CliModel", {"node": block("Node", {"node_name": str})}))], [CREATE_NODE])
    RENAMED = Catalogue(NODE.products, NODE.workflows, "renamed")
    PORT = Catalogue([product(model("PortModel", {"port": block("Port", {"speed": int})}), name="Port")])
    OTHER = Catalogue(PORT.products, [], "other")
    NOTHING = Catalogue([])


@pytest.fixture
def invoke(database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs a command of the group."""

    def run(*arguments: str, code: Catalogue = NODE, answer: str | None = None) -> Result:
        application = SimpleNamespace(database=database, catalogue=code)
        # With an answer there is a terminal, and somebody who types it.
        monkeypatch.setattr(command, "_is_terminal", lambda: answer is not None)
        return CliRunner().invoke(catalogue, arguments, obj=application, input=answer)

    return run


@pytest.fixture
def with_a_site(database: SubscriptionDatabase, invoke: Invoke) -> None:
    """A database with one node that has a site."""
    invoke("apply")
    with database.transaction():
        subscribe(catalogue_id("product", "Node"), Node={"node_name": "ams1", "site": "AMS"})


def test_a_plan_lists_the_differences_and_the_command(invoke: Invoke) -> None:
    result = invoke("plan")
    assert result.exit_code == 0
    assert "+ product Node: type Node, tag NODE" in result.output
    assert "Run `orchestrator catalogue apply` to change the database." in result.output


def test_a_plan_changes_nothing(invoke: Invoke, database: SubscriptionDatabase) -> None:
    invoke("plan")
    with database.transaction() as session:
        assert session.query(ProductTable).count() == 0


def test_applying_makes_it_so(invoke: Invoke) -> None:
    assert invoke("apply").output.endswith("Applied.\n")
    assert invoke("plan").output == "The catalogue in the database matches the code.\n"


def test_a_check_fails_when_there_is_a_difference(invoke: Invoke) -> None:
    assert invoke("plan", "--check").exit_code == 1
    invoke("apply")
    assert invoke("plan", "--check").exit_code == 0


def test_a_plan_as_json_has_a_record_per_change(invoke: Invoke) -> None:
    kinds = {change["kind"] for change in json.loads(invoke("plan", "--json").output)}
    assert kinds == {"product", "product block", "resource type", "workflow"}


@pytest.mark.usefixtures("with_a_site")
def test_a_plan_marks_what_deserves_thought(invoke: Invoke) -> None:
    line = next(line for line in invoke("plan", code=SMALLER).output.splitlines() if "'site' removed" in line)
    assert line.endswith("(1 subscription) !")


@pytest.mark.usefixtures("with_a_site")
def test_values_are_dropped_only_after_a_yes(invoke: Invoke) -> None:
    refused = invoke("apply", "--drop-values", code=SMALLER, answer="n\n")
    assert refused.exit_code == 1
    done = invoke("apply", "--drop-values", code=SMALLER, answer="y\n")
    assert "value 'site' dropped from 1 instance" in done.output


@pytest.mark.usefixtures("with_a_site")
def test_dropping_values_needs_a_flag_where_nobody_can_be_asked(invoke: Invoke) -> None:
    refused = invoke("apply", "--drop-values", code=SMALLER)
    assert refused.exit_code == 3 and "Say so with --yes." in refused.output
    assert invoke("apply", "--drop-values", "--yes", code=SMALLER).output.endswith("Applied.\n")


def test_nothing_is_removed_without_a_yes(invoke: Invoke) -> None:
    invoke("apply")
    refused = invoke("apply", code=NOTHING, answer="n\n")
    assert "product 'Node' will be removed, retired or lose something. Continue? [y/N]" in refused.output
    assert (refused.exit_code, bool(invoke("plan", "--check").exit_code)) == (1, False)
    assert invoke("apply", code=NOTHING, answer="y\n").output.endswith("Applied.\n")
    assert invoke("plan", "--check").exit_code == 1


def test_where_nobody_can_be_asked_removing_is_refused_with_the_flag(invoke: Invoke) -> None:
    invoke("apply")
    refused = invoke("apply", code=NOTHING)
    assert refused.exit_code == 3 and "Say so with --remove, or --keep to leave that alone." in refused.output
    assert invoke("plan", "--check").exit_code == 0
    assert invoke("apply", "--remove", code=NOTHING).output.endswith("Applied.\n")
    assert invoke("plan", "--check").exit_code == 1


def test_keeping_adds_and_removes_nothing(invoke: Invoke) -> None:
    invoke("apply", code=NODE)
    kept = invoke("apply", "--keep", code=PORT)
    assert kept.output.endswith("Applied, and nothing was removed.\n")
    assert invoke("plan", "--check", code=NODE).exit_code == 1
    assert "- product Node: no longer in the code" in invoke("plan", code=PORT).output


def test_applying_leaves_another_location_alone_and_says_so(invoke: Invoke) -> None:
    invoke("apply")
    done = invoke("apply", code=OTHER)
    left = "These are the rows of code location 'other'. Left alone: 1 product, 1 product block and 1 workflow of "
    assert done.exit_code == 0 and f"{left}'orchestrator'." in done.output
    assert invoke("plan").output.splitlines()[-1] == "The catalogue in the database matches the code."


def test_a_name_of_another_location_is_a_sentence_and_no_traceback(invoke: Invoke) -> None:
    invoke("apply")
    refused = invoke("apply", code=RENAMED)
    assert refused.exit_code == 1 and refused.output.startswith("Error: Code location 'renamed' declares what belongs")


def test_taking_over_asks_and_lists_what(invoke: Invoke) -> None:
    invoke("apply")
    refused = invoke("apply", "--take-over", "orchestrator", code=RENAMED)
    question = "1 product, 1 product block and 1 workflow of 'orchestrator' will belong to 'renamed', for good."
    assert refused.exit_code == 3 and question in refused.output and "Say so with --yes." in refused.output
    assert invoke("apply", "--take-over", "orchestrator", code=RENAMED, answer="y\n").output.endswith("Applied.\n")
    assert invoke("plan", "--check", code=RENAMED).exit_code == 0


def test_show_lists_the_products(invoke: Invoke) -> None:
    assert "create_node" in invoke("show").output


def test_show_opens_one_product(invoke: Invoke) -> None:
    output = invoke("show", "Node").output
    assert all(word in output for word in ("node_name", "site", "CREATE: Create a node"))


def test_an_unknown_product_is_a_sentence_and_no_traceback(invoke: Invoke) -> None:
    result = invoke("show", "Router")
    assert (result.exit_code, result.output) == (1, "Error: The code has no product 'Router'; it has: 'Node'.\n")


# --- exit codes, and values that are given ---


@pytest.fixture
def bigger() -> Catalogue:
    with registry_kept():
        fields = {"node_name": str, "site": str | None, "role": str}
        return Catalogue([product(model("CliModel", {"node": block("Node", fields)}))], [CREATE_NODE])


@pytest.mark.usefixtures("with_a_site")
def test_the_exit_code_of_a_plan_says_what_kind_of_difference_there_is(invoke: Invoke, bigger: Catalogue) -> None:
    codes = [invoke("plan", "--detailed-exitcode", code=one).exit_code for one in (NODE, SMALLER, bigger)]
    assert codes == [0, 3, 4]
    assert invoke("plan", "--detailed-exitcode", "--fill", 'Node.role="pe"', code=bigger).exit_code == 2


@pytest.mark.usefixtures("with_a_site")
def test_what_cannot_be_applied_is_refused_with_a_code_of_its_own(invoke: Invoke, bigger: Catalogue) -> None:
    refused = invoke("apply", code=bigger)
    assert (refused.exit_code, "✗" in refused.output) == (4, True)
    assert "Applied." in invoke("apply", "--fill", "Node.role=pe", code=bigger).output


@pytest.mark.usefixtures("with_a_site")
def test_what_waits_for_the_back_fill_is_said_with_the_command(invoke: Invoke, bigger: Catalogue) -> None:
    applied = invoke("apply", "--fill", "Node.role=pe", code=bigger)
    assert "1 wait; run `orchestrator catalogue backfill`." in applied.output
    assert "1 wait." in invoke("backfill", "--show", code=bigger).output


def test_wrong_usage_is_no_difference(invoke: Invoke) -> None:
    wrong = invoke("plan", "--fill", "role")
    assert wrong.exit_code == 1 and "'role' is not BLOCK.VALUE=JSON" in wrong.output
