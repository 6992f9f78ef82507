"""The documents of the known web client (7.5.0 and 9.0.0), each with the exact shape of its answer."""

from typing import Any
from uuid import uuid4

import pytest

from ops.starting.process_detail import PendingForm
from orchestrator_defs.processes.process_answers import ProcessAnswers
from tests.engine import Engine
from tests.test_graphql.conftest import Asker, Network

PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor totalItems sortFields filterFields }"
ARGUMENTS = "$first: Int!, $after: Int!, $sortBy: [GraphqlSort!], $filterBy: [GraphqlFilter!], $query: String"
PASSED = "first: $first, after: $after, sortBy: $sortBy, filterBy: $filterBy, query: $query"

VERSIONS = "query Versions { version { applicationVersions } }"
START_OPTIONS = """query StartOptions {
  workflows(first: 1000000, filterBy: {field: "target", value: "CREATE"}) {
    page { name isAllowed products { productType productId name tag status } } } }"""
START_TASKS = """query StartOptions {
  workflows(first: 1000000, filterBy: {field: "isTask", value: "true"}) { page { name isAllowed description } } }"""
PROCESS_SUMMARY = f"""query ProcessListSummary({ARGUMENTS}) {{ processes({PASSED}) {{
  page {{ processId workflowName startedAt }} pageInfo {{ totalItems startCursor endCursor }} }} }}"""
SUBSCRIPTION_SUMMARY = f"""query SubscriptionsList({ARGUMENTS}) {{ subscriptions({PASSED}) {{
  page {{ startDate description subscriptionId }} {PAGE_INFO} }} }}"""
PRODUCT_SUMMARY = f"""query MetadataProducts($first: Int!, $after: Int!, $sortBy: [GraphqlSort!]) {{
  products(first: $first, after: $after, sortBy: $sortBy) {{
    page {{ name subscriptions(filterBy: {{field: "status", value: "!terminated"}}) {{ pageInfo {{ totalItems }} }} }}
    {PAGE_INFO} }} }}"""
SUBSCRIPTIONS = f"""query SubscriptionsList({ARGUMENTS}) {{ subscriptions({PASSED}) {{
  page {{ note startDate endDate description insync status subscriptionId product {{ name tag productType }}
    customer {{ customerId fullname shortcode }} metadata }} {PAGE_INFO} }} }}"""
DETAIL = """query SubscriptionDetail($subscriptionId: String!) {
  subscriptions(filterBy: {field: "subscriptionId", value: $subscriptionId}) { page {
    subscriptionId description fixedInputs insync note
    product { createdAt name status endDate description tag productType productId }
    endDate startDate status customerId metadata customer { fullname customerId shortcode }
    customerDescriptions { id subscriptionId description customerId }
    productBlockInstances { id subscription { subscriptionId description } parent productBlockInstanceValues
      subscriptionInstanceId inUseByRelations }
    processes(sortBy: [{field: "startedAt", order: ASC}]) { page {
      processId lastStatus startedAt createdBy workflowTarget workflowName isTask note } } } } }"""
RELATED = """query RelatedSubscriptions($subscriptionId: String!, $first: Int!, $after: Int!,
    $filterBy: [GraphqlFilter!]) {
  subscriptions(filterBy: {field: "subscriptionId", value: $subscriptionId}) { page { subscriptionId
    inUseBySubscriptions(first: $first, after: $after, filterBy: $filterBy) {
      page { subscriptionId customer { fullname } description insync startDate status product { tag } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor totalItems sortFields filterFields } } } } }"""
IN_USE_BY = """query SubscriptionsInUseByRelationsDetails($filterBy: [GraphqlFilter!]) {
  subscriptions(filterBy: $filterBy) { page {
    ...on SubscriptionInterface { product { name } description subscriptionId status } } } }"""
CUSTOMERS = """query Customers($first: Int!, $filterBy: [GraphqlFilter!]) {
  customers(first: $first, filterBy: $filterBy) { page { fullname customerId shortcode } } }"""
PROCESSES = f"""query ProcessList({ARGUMENTS}) {{ processes({PASSED}) {{ page {{
  workflowName lastStep lastStatus workflowTarget product {{ name tag }} customer {{ fullname shortcode }} createdBy
  assignee processId startedAt lastModifiedAt isTask note
  subscriptions {{ page {{ subscriptionId description }} }} }} {PAGE_INFO} }} }}"""
PROCESS = """query ProcessDetail($processId: String!) {
  processes(filterBy: {field: "processId", value: $processId}) { page {
    processId lastStatus createdBy startedAt lastModifiedAt lastStep workflowName isTask form traceback note
    userPermissions { retryAllowed resumeAllowed } steps { name status stepId stateDelta started completed }
    customer { fullname } subscriptions { page { product { name } description subscriptionId } } } } }"""
DESCRIPTION = """query MetadataWorkflowsDescription($name: String!) {
  workflows(filterBy: {field: "name", value: $name}) { page { name description } } }"""
STEPS = """query ProcessSteps($name: String!) {
  workflows(filterBy: {field: "name", value: $name}) { page { steps { name assignee } } } }"""
META = {
    "products": "productId name description tag createdAt productType status productBlocks { name }"
    " fixedInputs { name value } endDate",
    "productBlocks": "productBlockId name tag description status createdAt endDate"
    " resourceTypes { description resourceType resourceTypeId }"
    " dependsOn { productBlockId name tag description status createdAt endDate }",
    "resourceTypes": "resourceTypeId resourceType description"
    " productBlocks { description name productBlockId status createdAt endDate }",
    "workflows": "workflowId name description target isTask products { tag } createdAt",
    "scheduledTasks": "id name nextRunTime trigger workflowId",
}


def metadata(kind: str) -> str:
    """The document of a page of metadata."""
    return f"query Metadata({ARGUMENTS}) {{ {kind}({PASSED}) {{ page {{ {META[kind]} }} {PAGE_INFO} }} }}"


def test_versions(ask: Asker) -> None:
    found = ask.data(VERSIONS)["version"]["applicationVersions"]
    assert found[0] == "compatible-api: 5.5.0"
    assert found[1].startswith("dagster-service-orchestrator ")


def test_what_can_be_created(ask: Asker) -> None:
    (found,) = (one for one in ask.data(START_OPTIONS)["workflows"]["page"] if one["name"] == "create_device")
    (product,) = found["products"]
    assert product.pop("productId")
    assert found["isAllowed"] is True
    assert product == {"productType": "Device", "name": "Test Device", "tag": "DEV", "status": "ACTIVE"}


def test_what_tasks_there_are(ask: Asker) -> None:
    found = {one["name"]: one for one in ask.data(START_TASKS)["workflows"]["page"]}
    assert found["task_clean_up_tasks"]["isAllowed"] is True
    assert "create_device" not in found


def test_list_of_subscriptions(ask: Asker, network: Network) -> None:
    made = network.node("lst1")
    answer = ask.data(SUBSCRIPTIONS, first=10, after=0, query="lst1")["subscriptions"]
    (line,) = answer["page"]
    assert line.pop("startDate").endswith("+00:00")
    assert line == {
        "note": None,
        "endDate": None,
        "description": "Node lst1",
        "insync": True,
        "status": "ACTIVE",
        "subscriptionId": str(made.subscription_id),
        "product": {"name": "Node Cisco", "tag": "NODE", "productType": "Node"},
        "customer": {"customerId": "customer", "fullname": "customer", "shortcode": "customer"},
        "metadata": {},
    }
    about = answer["pageInfo"]
    assert {"productName", "productTag", "status"} <= {*about.pop("sortFields")} & {*about.pop("filterFields")}
    assert about == {"hasNextPage": False, "hasPreviousPage": False, "startCursor": 0, "endCursor": 0, "totalItems": 1}


def test_empty_page_has_no_cursors(ask: Asker) -> None:
    about = ask.data(SUBSCRIPTION_SUMMARY, first=5, after=0, query="nothinghasthisword")["subscriptions"]
    assert about["page"] == []
    assert (about["pageInfo"]["startCursor"], about["pageInfo"]["endCursor"]) == (None, None)
    assert (about["pageInfo"]["totalItems"], about["pageInfo"]["hasNextPage"]) == (0, False)


@pytest.mark.parametrize("value", ["active-disabled", "Active|Provisioning", "ACTIVE", "!terminated"])
def test_values_of_filters_are_read_as_the_client_writes_them(ask: Asker, network: Network, value: str) -> None:
    made = network.node(f"flt{uuid4().hex[:8]}")
    filters = [{"field": "status", "value": value}, {"field": "description", "value": made.description}]
    found = ask.data(SUBSCRIPTIONS, first=10, after=0, filterBy=filters)["subscriptions"]
    assert [one["description"] for one in found["page"]] == [made.description]


def test_pages_follow_each_other_in_their_order(ask: Asker, network: Network) -> None:
    for name in ("pgb", "pga", "pgc"):
        network.node(f"{name}-paging")
    sort = [{"field": "description", "order": "DESC"}]
    pages = [
        ask.data(SUBSCRIPTION_SUMMARY, first=2, after=after, sortBy=sort, query="paging")["subscriptions"]
        for after in (0, 2)
    ]
    names = [[one["description"] for one in page["page"]] for page in pages]
    assert names == [["Node pgc-paging", "Node pgb-paging"], ["Node pga-paging"]]
    cursors = [(p["pageInfo"]["startCursor"], p["pageInfo"]["endCursor"], p["pageInfo"]["hasNextPage"]) for p in pages]
    assert cursors == [(0, 1, True), (2, 2, False)]


def test_products_with_their_counts(ask: Asker, network: Network) -> None:
    sort = [{"field": "name", "order": "ASC"}]
    before = ask.data(PRODUCT_SUMMARY, first=1000, after=0, sortBy=sort)["products"]["page"]
    network.node("cnt1")
    after = ask.data(PRODUCT_SUMMARY, first=1000, after=0, sortBy=sort)["products"]["page"]
    assert [one["name"] for one in after] == sorted(one["name"] for one in after)
    counts = [{one["name"]: one["subscriptions"]["pageInfo"]["totalItems"] for one in each} for each in (before, after)]
    assert counts[1] == counts[0] | {"Node Cisco": counts[0]["Node Cisco"] + 1}


def test_detail_of_a_subscription(ask: Asker, network: Network) -> None:
    router = network.node("det1")
    port = network.port(router, "ge-det")
    (found,) = ask.data(DETAIL, subscriptionId=str(port.subscription_id))["subscriptions"]["page"]
    instances = found.pop("productBlockInstances")
    product = found.pop("product")
    assert (product["name"], product["status"], product["endDate"]) == ("Port 10G", "ACTIVE", None)
    assert found.pop("startDate")
    assert found == {
        "subscriptionId": str(port.subscription_id),
        "description": "Port ge-det",
        "insync": True,
        "note": None,
        "fixedInputs": [{"field": "speed", "value": 10000}],
        "endDate": None,
        "status": "ACTIVE",
        "customerId": "customer",
        "metadata": {},
        "customer": {"customerId": "customer", "fullname": "customer", "shortcode": "customer"},
        "customerDescriptions": [],
        "processes": {"page": []},
    }
    assert [(one["id"], one["parent"], one["subscription"]["description"]) for one in instances] == [
        (0, None, "Port ge-det"),
        (1, 0, "Node det1"),
    ]
    values = {one["field"]: one["value"] for one in instances[0]["productBlockInstanceValues"]}
    assert values | {"name": "Port", "label": None, "portName": "ge-det", "title": "det1 ge-det"} == values
    assert instances[1]["inUseByRelations"] == [
        {
            "subscription_instance_id": instances[0]["subscriptionInstanceId"],
            "subscription_id": str(port.subscription_id),
        }
    ]


def test_a_parent_comes_before_its_children(ask: Asker, network: Network) -> None:
    router = network.node("par1")
    service = network.l2vpn(network.port(router, "ge-1"), network.port(router, "ge-2"), name="parents first")
    (found,) = ask.data(DETAIL, subscriptionId=str(service.subscription_id))["subscriptions"]["page"]
    parents = [(one["id"], one["parent"]) for one in found["productBlockInstances"]]
    assert parents == [(0, None), (1, 0), (2, 1), (3, 2), (4, 0), (5, 4), (6, 5)]


def test_related_subscriptions(ask: Asker, network: Network) -> None:
    router = network.node("rel1")
    port = network.port(router, "ge-rel")
    filters = [{"field": "status", "value": "!terminated"}]
    variables = {"subscriptionId": str(router.subscription_id), "first": 10, "after": 0, "filterBy": filters}
    (found,) = ask.data(RELATED, **variables)["subscriptions"]["page"]
    (line,) = found["inUseBySubscriptions"]["page"]
    assert line.pop("startDate")
    assert line == {
        "subscriptionId": str(port.subscription_id),
        "customer": {"fullname": "customer"},
        "description": "Port ge-rel",
        "insync": True,
        "status": "ACTIVE",
        "product": {"tag": "PORT"},
    }
    assert found["inUseBySubscriptions"]["pageInfo"]["totalItems"] == 1


def test_several_subscriptions_by_their_ids(ask: Asker, network: Network) -> None:
    ids = [str(network.node(name).subscription_id) for name in ("ids1", "ids2")]
    filters = [{"field": "subscriptionId", "value": "|".join(ids)}, {"field": "status", "value": "active"}]
    found = ask.data(IN_USE_BY, filterBy=filters)["subscriptions"]["page"]
    assert sorted(one["description"] for one in found) == ["Node ids1", "Node ids2"]


def test_customers(ask: Asker) -> None:
    (found,) = ask.data(CUSTOMERS, first=10)["customers"]["page"]
    assert (found["fullname"], found["shortcode"]) == ("Default customer", "default")
    wanted = [{"field": "customerId", "value": f"{found['customerId']}|other"}]
    assert ask.data(CUSTOMERS, first=10, filterBy=wanted)["customers"]["page"] == [found]
    assert ask.data(CUSTOMERS, first=0, filterBy=[{"field": "customerId", "value": ""}])["customers"]["page"] == []


def test_customers_with_their_counts(ask: Asker, network: Network) -> None:
    network.bed.add("Test Device", customer_id="counted", description="Device of theirs", device={"hostname": "theirs"})
    query = """query Customers { customers(first: 1000000, after: 0) { page { customerId fullname shortcode
      subscriptions(filterBy: {field: "status", value: "active"}) { pageInfo { totalItems } } } } }"""
    (found,) = ask.data(query)["customers"]["page"]
    assert found["subscriptions"] == {"pageInfo": {"totalItems": 0}}
    inner = """{ subscriptions(filterBy: {field: "customerId", value: "counted"}) { page {
      customer { subscriptions { page { description } } } } } }"""
    (line,) = ask.data(inner)["subscriptions"]["page"]
    assert line["customer"]["subscriptions"]["page"] == [{"description": "Device of theirs"}]


def test_everything_is_read_wherever_it_is_selected(ask: Asker, engine: Engine) -> None:
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "anywhere"}])
    product = (
        "product { fixedInputs { name } productBlocks { name } workflows { name } subscriptions { page { note } } }"
    )
    query = f"""query($id: String!) {{ processes(filterBy: {{field: "processId", value: $id}}) {{ page {{ {product}
      subscriptions {{ page {{ {product} }} }} }} }} }}"""
    (found,) = ask.data(query, id=str(process_id))["processes"]["page"]
    (other,) = found["subscriptions"]["page"]
    assert found["product"] == other["product"]
    assert [one["name"] for one in other["product"]["productBlocks"]] == ["Test Device"]
    assert other["product"]["fixedInputs"] == []
    assert {"name": "modify_device"} in other["product"]["workflows"]
    assert other["product"]["subscriptions"]["page"]


def test_list_of_processes(ask: Asker, engine: Engine) -> None:
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "listed"}], user="ada")
    sort = [{"field": "lastModifiedAt", "order": "DESC"}]
    filters = [{"field": "isTask", "value": "false"}, {"field": "processId", "value": str(process_id)}]
    answer = ask.data(PROCESSES, first=15, after=0, sortBy=sort, filterBy=filters)["processes"]
    (line,) = answer["page"]
    assert line.pop("startedAt") < line.pop("lastModifiedAt")
    (subscription,) = line.pop("subscriptions")["page"]
    assert subscription["subscriptionId"] == str(engine.of(process_id).subscription_id)
    assert line == {
        "workflowName": "create_device",
        "lastStep": "Done",
        "lastStatus": "COMPLETED",
        "workflowTarget": "CREATE",
        "product": {"name": "Test Device", "tag": "DEV"},
        "customer": {"fullname": "customer", "shortcode": "customer"},
        "createdBy": "ada",
        "assignee": "SYSTEM",
        "processId": str(process_id),
        "isTask": False,
        "note": None,
    }
    assert answer["pageInfo"]["totalItems"] == 1
    assert {"lastStatus", "workflowName", "startedAt"} <= {*answer["pageInfo"]["sortFields"]}


def test_process_without_subscription_has_the_default_customer(ask: Asker, engine: Engine) -> None:
    process_id = engine.run("task_clean_up_tasks")
    filters = [{"field": "processId", "value": str(process_id)}]
    (line,) = ask.data(PROCESSES, first=15, after=0, filterBy=filters)["processes"]["page"]
    assert line["customer"] == {"fullname": "Default customer", "shortcode": "default"}
    assert (line["product"], line["subscriptions"]["page"]) == (None, [])


def test_summary_of_processes(ask: Asker) -> None:
    filters = [{"field": "isTask", "value": "true"}, {"field": "lastStatus", "value": "failed-inconsistent_data"}]
    answer = ask.data(PROCESS_SUMMARY, first=5, after=0, filterBy=filters)["processes"]
    assert answer == {"page": [], "pageInfo": {"totalItems": 0, "startCursor": None, "endCursor": None}}


def test_detail_of_a_process_that_waits_for_input(ask: Asker, engine: Engine) -> None:
    process_id = engine.run("ask")
    (found,) = ask.data(PROCESS, processId=str(process_id))["processes"]["page"]
    assert (found["lastStatus"], found["workflowName"], found["isTask"]) == ("SUSPENDED", "ask", True)
    assert found["userPermissions"] == {"retryAllowed": True, "resumeAllowed": True}
    assert found["form"]["type"] == "object"
    statuses = [(one["status"], one["stepId"] is None) for one in found["steps"]]
    assert statuses[0] == ("success", False)
    assert ("suspend", False) in statuses
    assert statuses[-1] == ("pending", True)


def test_form_is_evaluated_without_the_connection_of_the_query(
    ask: Asker, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_id, held = engine.run("ask"), []

    def fail(*_: Any) -> PendingForm:
        held.append(engine.database.engine.pool.checkedout())  # type: ignore[attr-defined]
        return PendingForm(error="The form fails with KeyError: 'site'")

    monkeypatch.setattr(ProcessAnswers, "pending_form", fail)
    answer = ask(PROCESS, processId=str(process_id))
    (error,) = answer["errors"]
    assert held == [0]
    assert answer["data"]["processes"]["page"][0]["form"] is None
    assert error["path"] == ["processes", "page", 0, "form"]
    assert error["message"] == "The form fails with KeyError: 'site'"


def test_detail_of_a_process_that_failed(ask: Asker, engine: Engine, world: Any) -> None:
    world.broken.add("configure")
    try:
        process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "breaks"}])
    finally:
        world.broken.discard("configure")
    (found,) = ask.data(PROCESS, processId=str(process_id))["processes"]["page"]
    assert (found["lastStatus"], found["form"]) == ("FAILED", None)
    assert "configure is broken" in found["traceback"]
    assert [one["status"] for one in found["steps"]][:2] == ["success", "success"]
    assert "failed" in [one["status"] for one in found["steps"]]


def test_description_and_steps_of_a_workflow(ask: Asker) -> None:
    (found,) = ask.data(DESCRIPTION, name="modify_device")["workflows"]["page"]
    assert found == {"name": "modify_device", "description": "Rename device"}
    steps = ask.data(STEPS, name="modify_device")["workflows"]["page"][0]["steps"]
    assert {"name": "Rename", "assignee": "SYSTEM"} in steps


@pytest.mark.parametrize("kind", META)
def test_metadata(ask: Asker, kind: str) -> None:
    sort = [{"field": "resourceType" if kind == "resourceTypes" else "name", "order": "ASC"}]
    answer = ask.data(metadata(kind), first=1000, after=0, sortBy=sort, query="")[kind]
    assert answer["pageInfo"]["totalItems"] == len(answer["page"])
    assert answer["page"] or kind == "scheduledTasks"


def test_blocks_of_the_metadata(ask: Asker) -> None:
    page = ask.data(metadata("productBlocks"), first=1000, after=0, query="Port")["productBlocks"]["page"]
    (port,) = (one for one in page if one["name"] == "Port")
    assert [one["name"] for one in port["dependsOn"]] == ["Node"]
    assert "port_name" in [one["resourceType"] for one in port["resourceTypes"]]
    assert port["status"] == "ACTIVE"


def test_tasks_of_the_metadata(ask: Asker) -> None:
    filters = [{"field": "target", "value": "CREATE|MODIFY|TERMINATE|RECONCILE"}]
    page = ask.data(metadata("workflows"), first=100, after=0, filterBy=filters)["workflows"]["page"]
    assert {one["target"] for one in page} == {"CREATE", "MODIFY", "TERMINATE", "RECONCILE"}
