"""What models, steps and whole workflows cost, among few and among many subscriptions."""

from benchmarks.networks import Hand, Network, l2vpn_pages, node_pages
from benchmarks.report import Report
from benchmarks.toys import FEW
from benchmarks.turns import Memo, Script, in_turns, per_step, row
from resources.products.l2vpn import L2vpn

NOTE = (
    "In this process, from the submission to the end, medians of {times}, in turns on both databases. CPU in ms, means."
    " Counted on the wire to the subscriptions' database; Dagster's storage has a wire of its own. {more}"
)


def models(both: tuple[Network, Network], times: int) -> Report:
    """The domain models alone."""
    costs = in_turns(both, MODELS, times)
    sizes = both[0].subscriptions, both[1].subscriptions
    note = NOTE.format(times=times, more="No workflow: one transaction each.")
    return Report("models", "An L2VPN of 31 blocks", note, [row(name, costs[name], sizes) for name, _ in MODELS])


def steps(both: tuple[Network, Network], times: int) -> Report:
    """The engine alone, and a step of it: the workflow with ten steps less the same without, divided by ten."""
    costs = in_turns(both, STEPS, times)
    sizes = both[0].subscriptions, both[1].subscriptions
    names = [name for name, _ in STEPS]
    costs["one trivial step"] = per_step(costs[names[1]], costs[names[0]], FEW)
    costs["one step that changes an L2VPN"] = per_step(costs[names[3]], costs[names[2]], FEW)
    note = NOTE.format(times=times, more="The lines of one step: ten steps less none, divided by ten.")
    return Report("steps", "Steps", note, [row(name, found, sizes) for name, found in costs.items()])


def lifecycle(both: tuple[Network, Network], times: int) -> Report:
    """Whole workflows of the products, against the lab."""
    few_times = max(1, times // 3)
    costs = {**in_turns(both, NODE, times), **in_turns(both, SERVICE, few_times)}
    sizes = both[0].subscriptions, both[1].subscriptions
    lab = "`lab`: ms in HTTP calls to the lab, a process of its own; in none of the other columns."
    note = NOTE.format(times=times, more=f"Of the L2VPN {few_times}. {lab}")
    return Report("lifecycle", "Workflows", note, [row(name, found, sizes) for name, found in costs.items()])


# --- models ---


def _load(hand: Hand, memo: Memo) -> None:
    with hand.database.transaction(read_only=True):
        L2vpn.from_subscription(memo.fixtures.service)


def _save_unchanged(hand: Hand, memo: Memo) -> None:
    with hand.database.transaction():
        L2vpn.from_subscription(memo.fixtures.service).save()


def _change(hand: Hand, memo: Memo) -> None:
    with hand.database.transaction():
        model = L2vpn.from_subscription(memo.fixtures.service)
        model.virtual_circuit.speed += 1
        model.save()


# --- workflows ---


def _on_service(workflow: str) -> Script:
    def run(hand: Hand, memo: Memo) -> None:
        hand.run(workflow, {"subscription_id": str(memo.fixtures.service)})

    return [(LABELS[workflow], run)]


def _task(workflow: str) -> Script:
    return [(LABELS[workflow], lambda hand, _memo: hand.run(workflow, {}))]


LABELS = {
    "steps_0": "task without steps",
    "steps_10": f"task of {FEW} trivial steps",
    "changes_0": "modify of an L2VPN without steps",
    "changes_10": f"modify of {FEW} steps, each changes the L2VPN",
}


def _create_node(hand: Hand, memo: Memo) -> None:
    memo.kept["node"] = hand.run("create_node", *node_pages(f"life{memo.number}"))


def _modify_node(hand: Hand, memo: Memo) -> None:
    hand.run("modify_node", _on(memo, "node"), {"node_status": "offline", "node_description": "Closed"})


def _create_l2vpn(hand: Hand, memo: Memo) -> None:
    memo.kept["service"] = hand.run("create_l2vpn", *l2vpn_pages(memo.fixtures.ports, vlan=100 + memo.number))


def _on(memo: Memo, what: str) -> dict[str, str]:
    return {"subscription_id": str(memo.kept[what])}


MODELS: Script = [
    ("load", _load),
    ("load, save unchanged", _save_unchanged),
    ("load, change a value, save", _change),
]
STEPS: Script = [*_task("steps_0"), *_task("steps_10"), *_on_service("changes_0"), *_on_service("changes_10")]
NODE: Script = [
    ("create a node", _create_node),
    ("modify the node", _modify_node),
    ("validate the node", lambda hand, memo: hand.run("validate_node", _on(memo, "node"))),
    ("terminate the node", lambda hand, memo: hand.run("terminate_node", _on(memo, "node"))),
]
SERVICE: Script = [
    ("create an L2VPN with 10 endpoints", _create_l2vpn),
    ("validate the L2VPN", lambda hand, memo: hand.run("validate_l2vpn", _on(memo, "service"))),
]
