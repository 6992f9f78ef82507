"""A product of ports whose code changes eight times, once for each kind of change that stored data has to survive."""

from typing import Annotated, Any
from uuid import UUID, uuid4

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import WorkflowJob, modify_workflow
from orchestrator_defs.testing import Testbed
from resources.catalogue.catalogue import Product
from resources.domain.bulk import insert_subscriptions
from resources.domain.header_model import ProductModel
from resources.domain.models.formerly import FilledBy, Formerly, StoredBlock
from resources.domain.saving.reading import read_product
from resources.domain.subscription_model import SubscriptionModel
from resources.subscriptions.queries import find_product
from resources.types import State
from tests.test_resources.test_domain.samples import block, model, product

CHANGES = (
    "the first version",
    "a value renamed",
    "a value moved from another block",
    "a block renamed, and the fields that hold blocks",
    "a value renamed and converted",
    "a value of another type",
    "a required value more",
    "a product split",
    "a workflow renamed",
)
SPEEDS = (1000, 10_000, 100_000)

Code = tuple[list[WorkflowJob], list[Product]]


def site_of(port: StoredBlock) -> str:
    """The site of a port from before ports had one."""
    (node,) = port.nearest("Node")
    return str(node.values["node_name"])[:3].upper()


def is_fast(subscription: Any) -> bool:
    """Whether a port belongs to the second product."""
    return bool(subscription.interface.speed == "100G")


def models(version: int) -> tuple[type[Any], str]:
    """The subscription class of a version of the code, and its root field."""
    node: dict[str, Any] = {"node_name": str} | ({"vendor": str} if version < 2 else {})
    node_block = block("Node", node)
    fields: dict[str, Any] = {"port_name": str, "speed_mbit": int}
    if version >= 1:
        fields = {"name_of_port": Annotated[str, Formerly("port_name")], "speed_mbit": int}
    if version >= 2:
        fields["vendor"] = Annotated[str, Formerly(block="Node")]
    if version == 4:
        fields["speed"] = Annotated[int, Formerly("speed_mbit", convert=lambda mbit: mbit // 1000)]
    if version >= 5:
        in_words = Formerly(convert=lambda gbit: f"{gbit}G")
        of_mbit = Formerly("speed_mbit", convert=lambda mbit: f"{mbit // 1000}G")
        fields["speed"] = Annotated[str, of_mbit, in_words]
    if version >= 4:
        del fields["speed_mbit"]
    if version >= 6:
        fields["site"] = Annotated[str, FilledBy(site_of)]
    if version < 3:
        return model("Port", {"port": block("Port", {**fields, "node": node_block})}), "port"
    fields["device"] = Annotated[node_block, Formerly("node")]
    port = block("Interface", fields, formerly="Port")
    return model("Port", {"interface": Annotated[port, Formerly("port")]}), "interface"


def code(version: int) -> Code:
    """The workflows and products of a version."""
    cls, root = models(version)
    block_cls = cls.model_fields[root].annotation
    products = [product(cls, name="Port", product_type="Port", tag="PORT")]
    if version >= 7:
        fast = product(cls, name="Fast port", product_type="Port", tag="PORT", split_from="Port", split_when=is_fast)
        products.append(fast)
    return [_modification(cls, block_cls, root, is_renamed=version >= 8)], products


def _modification(cls: Any, block_cls: Any, root: str, *, is_renamed: bool) -> WorkflowJob:
    @step("Look")
    def look(subscription: cls) -> State:
        return {"port": getattr(subscription, root)}

    @inputstep("Confirm", assignee="SYSTEM")
    def confirm() -> type[SubmitFormPage]:
        class Remark(SubmitFormPage):
            remark: str

        return Remark

    @step("Use what was looked at")
    def use(port: block_cls, subscription: cls, remark: str) -> State:
        subscription.note = remark
        return {"subscription": subscription, "used": port.model_dump(mode="json")}

    def modify_port() -> Any:
        return begin >> look >> confirm >> use

    if not is_renamed:
        return modify_workflow("Modify port", product_type="Port")(modify_port)

    def change_port() -> Any:
        return modify_port()

    return modify_workflow("Change port", product_type="Port", formerly="modify_port")(change_port)


def add_ports(bed: Testbed, number: int) -> list[UUID]:
    """Save so many ports of the first version in one transaction."""
    with bed.database.transaction():
        made = [_port(bed, one) for one in range(number)]
        insert_subscriptions(made)
        return [one.subscription_id for one in made]


def _port(bed: Testbed, number: int) -> SubscriptionModel:
    (declared,) = bed.orchestrator.catalogue.products
    cls: Any = declared.model
    row = ProductModel.of(read_product(find_product("Port").product_id))
    port_cls = cls.model_fields["port"].annotation
    node_cls = port_cls.model_fields["node"].annotation
    key = uuid4()
    node = node_cls.new(key, node_name=f"ams{number}", vendor=f"vendor{number % 7}")
    port = port_cls.new(key, port_name=f"ge-{number}", speed_mbit=SPEEDS[number % 3], node=node)
    words = {"customer_id": "acme", "description": f"Port {number}", "status": "active", "insync": True}
    found: SubscriptionModel = cls(product=row, subscription_id=key, port=port, **words)
    return found


def expected(version: int, number: int) -> dict[str, Any]:
    """The values of a port and its node after a version, by their present names."""
    mbit = SPEEDS[number % 3]
    found: dict[str, Any] = {"port_name" if version < 1 else "name_of_port": f"ge-{number}"}
    found |= {"speed_mbit": mbit} if version < 4 else {"speed": mbit // 1000 if version < 5 else f"{mbit // 1000}G"}
    if version >= 2:
        found["vendor"] = f"vendor{number % 7}"
    if version >= 6:
        found["site"] = "AMS"
    return found


def values_of(subscription: Any) -> dict[str, Any]:
    """The values of a port, as `expected` has them."""
    root = getattr(subscription, "port", None) or subscription.interface
    dumped = root.model_dump(mode="json")
    return {name: dumped[name] for name in root.plain_fields()}
