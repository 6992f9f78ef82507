"""What the lists and pages of the web client cost among few and among many subscriptions, over HTTP."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx

from benchmarks.api import NOTE, Call, Cost, Scene, costs_on, row, scene
from benchmarks.networks import Network, node_pages
from benchmarks.report import Report, Row
from resources.database.session import statement_counter

CLIENTS, SECONDS = 8, 5
CREATE = "a whole create workflow"
PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor totalItems sortFields filterFields }"
ARGUMENTS = "$first: Int!, $after: Int!, $sortBy: [GraphqlSort!], $filterBy: [GraphqlFilter!], $query: String"
PASSED = "first: $first, after: $after, sortBy: $sortBy, filterBy: $filterBy, query: $query"
BLOCKS = (
    "productBlockInstances { id subscription { subscriptionId description } parent productBlockInstanceValues "
    "subscriptionInstanceId inUseByRelations }"
)
LINE = (
    "note startDate endDate description insync status subscriptionId product { name tag productType } "
    "customer { customerId fullname shortcode } metadata"
)
LIST = f"query SubscriptionsList({ARGUMENTS}) {{ subscriptions({PASSED}) {{ page {{ %s }} {PAGE_INFO} }} }}"
DETAIL = f"""query SubscriptionDetail($subscriptionId: String!) {{
  subscriptions(filterBy: {{field: "subscriptionId", value: $subscriptionId}}) {{ page {{
    {LINE} fixedInputs customerDescriptions {{ id description customerId }} {BLOCKS}
    processes(sortBy: [{{field: "startedAt", order: ASC}}]) {{ page {{
      processId lastStatus startedAt createdBy workflowTarget workflowName isTask note }} }} }} }} }}"""
PROCESSES = f"""query ProcessList({ARGUMENTS}) {{ processes({PASSED}) {{ page {{
  workflowName lastStep lastStatus workflowTarget product {{ name tag }} customer {{ fullname shortcode }} createdBy
  assignee processId startedAt lastModifiedAt isTask note
  subscriptions {{ page {{ subscriptionId description }} }} }} {PAGE_INFO} }} }}"""
PROCESS = """query ProcessDetail($processId: String!) {
  processes(filterBy: {field: "processId", value: $processId}) { page {
    processId lastStatus createdBy startedAt lastModifiedAt lastStep workflowName isTask form traceback note
    userPermissions { retryAllowed resumeAllowed } steps { name status stepId stateDelta started completed }
    customer { fullname } subscriptions { page { product { name } description subscriptionId } } } } }"""


def lists(both: tuple[Network, Network], times: int) -> Report:
    """Each call on both networks in turns, and eight clients at once."""
    costs = costs_on(both, CALLS, times)
    sizes = both[0].subscriptions, both[1].subscriptions
    costs[CREATE] = _created(both, times)
    rows = [row(name, costs[name], sizes) for name in costs]
    note = f"{NOTE.format(times=times)} Eight clients at once are a process of their own, for {SECONDS} s."
    return Report("lists", "Lists and pages of the web client", note, [*rows, _crowd(both[1])])


def _created(both: tuple[Network, Network], times: int) -> tuple[Cost, Cost]:
    """What a whole create workflow costs in this process, from its form to its end, without a server."""
    costs = Cost(), Cost()
    for turn in range(times + 1):  # the first one warms up
        for network, cost in zip(both, costs, strict=True):
            with statement_counter(network.hand.database.engine) as counted:
                began = time.perf_counter()
                network.hand.run("create_node", *node_pages(f"whole{turn}"))
                spent = (time.perf_counter() - began) * 1000
            if turn:
                cost.ms.append(spent)
                cost.statements = counted.count
    return costs


def _crowd(many: Network) -> Row:
    """Eight clients that ask for the list of ten, one call after another each."""
    body = json.dumps({"query": LIST % LINE, "variables": _page(10)})
    with scene(many.hand, many) as served:
        words = [sys.executable, "-m", "benchmarks.lists", str(served.client.base_url), body]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    cells = {"requests a second": float(done.stdout)}
    return Row("subscriptions: 10 rows, eight clients at once", cells, figure="requests a second")


def _page(first: int, after: int = 0, sort: str = "startDate", query: str = "", **filters: str) -> dict[str, Any]:
    return {
        "first": first,
        "after": after,
        "sortBy": [{"field": sort, "order": "DESC"}],
        "filterBy": [{"field": field, "value": value} for field, value in filters.items()],
        "query": query,
    }


def _asked(document: str, **variables: Any) -> Call:
    """A GraphQL call; texts among the variables may name what the scene has, as `{service}`."""

    def call(served: Scene) -> httpx.Response:
        filled = {k: v.format(**vars(served)) if isinstance(v, str) else v for k, v in variables.items()}
        if "after" in filled:
            filled["after"] = int(filled["after"] * served.subscriptions)
        answer = served.client.post("/graphql", json={"query": document, "variables": filled})
        assert "errors" not in answer.json(), answer.text
        return answer

    return call


def _listed(first: int, *, of: str = LINE, **more: Any) -> Call:
    return _asked(LIST % of, **_page(first, **more))


IN_SERVICE: Mapping[str, str] = {"status": "active-provisioning", "productTag": "L2VPN"}
CALLS: tuple[tuple[str, Call], ...] = (
    ("subscriptions: 10 rows", _listed(10)),
    ("subscriptions: 100 rows", _listed(100)),
    ("subscriptions: 100 rows with blocks", _listed(100, of=f"{LINE} {BLOCKS}")),
    ("subscriptions: 10 rows behind 80 of 100", _listed(10, after=0.8)),
    ("subscriptions: 10 rows of a product and status", _listed(10, **IN_SERVICE)),
    ("subscriptions: 10 rows by description", _listed(10, sort="description")),
    ("subscriptions: words of one", _listed(10, query="bench 1/2/7")),
    ("subscriptions: a word of every fourth", _listed(10, query="1000")),
    ("subscriptions: detail of 31 blocks", _asked(DETAIL, subscriptionId="{service}")),
    ("processes: 10 rows", _asked(PROCESSES, **_page(10, sort="lastModifiedAt", isTask="false"))),
    ("processes: detail", _asked(PROCESS, processId="{process}")),
)


def _ask_again_and_again(url: str, body: str) -> float:
    """Calls a second of all clients together."""
    address, stop, counts = httpx.URL(url), time.monotonic() + SECONDS, [0] * CLIENTS

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(address.host, address.port)
        while time.monotonic() < stop:
            connection.request("POST", f"{address.path}graphql", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return sum(counts) / SECONDS


if __name__ == "__main__":
    sys.stdout.write(f"{_ask_again_and_again(*sys.argv[1:]):.1f}")
