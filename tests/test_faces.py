"""What an organisation imports: the names on the three faces, loaded when they are asked for and no sooner."""

import importlib
import inspect
import re
import subprocess
import sys

import pytest
from dagster import Definitions

import orchestrator_defs
from tests.architecture import FLOORS, ROOT, face_names, project_modules

HELD = {
    "resources": """
        Assignee ChildrenFailed Customer Customers Device Difference DriftFound EnginePaused ExternalSession
        ExternalSystemError ExternalSystemUnavailable ExternalText FilledBy FormError FormIncomplete
        FormInvalid Formerly
        InconsistentData Interface
        InvalidLifecycle ModelDeclarationError NETBOX_DESCRIPTION NETBOX_DEVICE_NAME NETBOX_INTERFACE_NAME NETBOX_NAME
        NetBox NotAuthorised OrchestratorError PlaybookFailed PlaybookRunner ProcessFailure ProcessFailureError
        ProcessStatus ProcessTable Product ProductBlockModel ProductLifecycle ProductTable Role SI SettingsError
        StaleSubscription StartRefused State StateError StepStatus StoredBlock SubscriptionDatabase SubscriptionError
        SubscriptionInstanceRelationTable SubscriptionInstanceTable SubscriptionLifecycle SubscriptionLocked
        SubscriptionModel SubscriptionTable Target TimedOut UNTAGGED UnknownProduct UnknownSubscription
        UnknownWorkflow User VlanRanges WorkflowDeclarationError count_subscriptions current_session
        default_customer_id depends_on_subscriptions find_product find_subscription get_product_by_id
        in_use_by_subscriptions list_subscriptions public_url read_metadata session_for value_of write_metadata
    """,
    "ops": """
        AuthCallback AuthContext CustomerId FormGenerator FormPage OnTimeout PredicateContext ProductId
        REMOVE_KEYS RunPredicate RunPredicateFail RunPredicatePass Step StepContext StepList SubmitFormPage
        SubscriptionId abort accepted_values awaiting_callbacks_exist begin callback_step compare conditional
        customer_contact_list differences done ensure_provisioning_status focussteps foreach init inputstep json_dumps
        never_accepted no_uncompleted_instance obsolete_step parallel poll_step product_id register_form report_drift
        resync retrystep set_status start_children step step_group steplens store_process_subscription unsync
        wait_children wait_until wrap_create_initial_input_form wrap_modify_initial_input_form
    """,
    "orchestrator_defs": """
        WorkflowJob build_definitions create_workflow defs modify_workflow reconcile_workflow task terminate_workflow
        validate_workflow workflow
    """,
}
"""What others' code relies on. Add a name here, in the stub and in docs/public_api.md; deprecate one before it goes."""

HEAVY = ("sqlalchemy", "dagster", "pydantic", "resources.products", "ops.products", "orchestrator_defs.products")


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after this code."""
    return set(run(f"{code}\nimport sys; print(*sys.modules)").split())


@pytest.mark.parametrize("floor", FLOORS)
def test_face_has_the_names_that_others_rely_on(floor: str) -> None:
    assert sorted(face_names(floor)) == HELD[floor].split()


@pytest.mark.parametrize("floor", FLOORS)
def test_each_name_on_the_face_is_there(floor: str) -> None:
    face = importlib.import_module(floor)

    assert {name for name in face_names(floor) if not hasattr(face, name)} == set()


@pytest.mark.parametrize("floor", FLOORS)
def test_no_name_on_the_face_is_a_module_s_too(floor: str) -> None:
    """Importing the module would put it in the name's place."""
    modules = {module.name for module in project_modules().values()}

    assert {name for name in face_names(floor) if f"{floor}.{name}" in modules} == set()


@pytest.mark.parametrize("floor", FLOORS)
def test_importing_a_floor_loads_nothing_heavy(floor: str) -> None:
    assert loaded(f"import {floor}").isdisjoint(HEAVY)


def test_using_the_engine_loads_no_product() -> None:
    assert not any(".products" in name for name in loaded("from orchestrator_defs import build_definitions, task"))


def test_page_lists_what_is_on_each_face() -> None:
    page = (ROOT / "docs" / "public_api.md").read_text(encoding="utf-8")
    listed = {
        floor: sorted(re.findall(r"^\| `(\w+)` \| [A-Z].*\. \|$", section, flags=re.MULTILINE))
        for floor, section in re.findall(r"^## `from (\w+) import …`\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    }

    assert listed == {floor: sorted(face_names(floor)) for floor in FLOORS}


def test_documents_import_from_the_faces_what_is_on_them() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    inner = re.findall(r"^from ((\w+)\.[\w.]+) import (.+)$", "\n".join(texts), flags=re.MULTILINE)

    assert inner
    assert [
        f"{module}: {name}"
        for module, floor, names in inner
        for name in names.split(", ")
        if floor in FLOORS and name in face_names(floor)
    ] == []


def test_dagster_finds_the_shipped_definitions_and_no_others() -> None:
    """It looks through the members of the module that it has to load."""
    found = [name for name, value in inspect.getmembers(orchestrator_defs) if isinstance(value, Definitions)]

    assert found == ["defs"]


def test_a_fault_in_a_product_is_shown_for_what_it_is() -> None:
    """And not as the answer that the package has no `defs`."""
    faulty = "import resources.products.port as port; del port.PRODUCTS; import orchestrator_defs"
    load = "try: orchestrator_defs.defs\nexcept ImportError as error: print(error)"

    assert "has no attribute 'PRODUCTS'" in run(f"{faulty}\n{load}")
