"""Checks that all names of a product can stand in the code that is written for it, and mean one thing."""

import keyword
import re
from collections.abc import Iterable

from pydantic import BaseModel

from ops.steps.forms import SubmitFormPage
from orchestrator_defs.scaffolding.coded_values import Value
from orchestrator_defs.scaffolding.faults import Fault, Place
from orchestrator_defs.scaffolding.plain_types import Unfit
from orchestrator_defs.scaffolding.product import ProductSpec, snake
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel

NAME = r"[A-Za-z][A-Za-z0-9]*([ _-][A-Za-z0-9]+)*"
LONGEST = 25
"""Characters of a name: longer ones make code that is hard to read."""
LONGEST_FIELD = 40
LONGEST_TEXT = 200
MOST_PRODUCTS = 100
"""So many products may be made of the values of fixed inputs."""
LOCAL_NAMES = {
    *("begin", "bed", "block", "bool", "compare", "context", "controller", "created", "customer_id", "definitions"),
    *("describe", "float", "int", "list", "on", "one", "order", "ordered", "organisation", "process_id", "product"),
    *("product_id", "product_name", "reporter", "service", "service_name", "state", "step", "str", "subscription"),
    *("subscription_description", "subscription_id", "summary", "wanted", "workflow_name", "workflow_target", "dict"),
}
"""Names that the written code, or the state of a process, uses beside the product's."""


def check(spec: ProductSpec) -> ProductSpec:
    """Return the product if it can be written. Raises Fault."""
    _check_product_name(spec.text.name)
    _check_name(("variable",), spec.module, SubscriptionModel)
    _check_class(("type",), spec.class_name)
    _check_length(("tag",), spec.tag, 20)
    _check_length(("description",), spec.description, LONGEST_TEXT)
    for index, fixed in enumerate(spec.text.fixed_inputs):
        _check_name(("fixed_inputs", index, "name"), fixed.name, SubscriptionModel)
    for index, block in enumerate(spec.text.product_blocks):
        place: Place = ("product_blocks", index)
        _check_class((*place, "type"), block.type)
        _check_name((*place, "name"), block.variable or snake(block.name), SubscriptionModel)
    _check_once(("fixed_inputs",), "name", (one.name for one in spec.text.fixed_inputs))
    for key in ("type", "name", "block_name"):
        _check_once(("product_blocks",), key, (getattr(one, key) for one in spec.text.product_blocks))
    _check_once(("workflows",), "name", (one.name for one in spec.text.workflows))
    spellings = {one.type.spelling for one in spec.values if one.type}
    for made in spec.blocks:
        for one in made.fields:
            _check_field(one)
            if one.name in spellings:
                raise Fault((*one.place, "name"), f"is {one.name!r}, which is the name of a type here; choose another.")
        _check_once(made.fields[0].place[:-1], "name", (one.name for one in made.fields))
        if len([one for one in made.fields if one.text.assigned]) > 1 or not made.listed:
            raise Fault(made.fields[0].place[:-1], "need one that is ordered, and at most one may be `assigned`.")
    if spec.attribute in {one.name for one in spec.text.fixed_inputs}:
        raise Fault(("fixed_inputs",), f"have {spec.attribute!r}, which is the name of the root block; rename one.")
    _check_validations(spec)
    _check_existing(spec)
    if len(spec.products) > MOST_PRODUCTS:
        raise Fault(("fixed_inputs",), f"make {len(spec.products)} products; at most {MOST_PRODUCTS} are written.")
    _ = spec.example
    return spec


def _check_product_name(name: str) -> None:
    if not re.fullmatch(NAME, name) or len(name) > LONGEST:
        raise Fault(
            ("name",),
            f"is {name!r}; it is words of ASCII letters and digits, starting with a letter,"
            f" of at most {LONGEST} characters, such as 'Internet access'.",
        )


def _check_name(place: Place, name: str, model: type[BaseModel]) -> None:
    """A name for a field, a module or a block's place in a subscription, which is a field of `model`."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > LONGEST_FIELD:
        raise Fault(
            place,
            f"is {name!r}; it is lower-case letters, digits and underscores, starting with a letter, at most "
            f"{LONGEST_FIELD} characters, such as port_name.",
        )
    is_taken = hasattr(model, name) or name in model.model_fields or hasattr(SubmitFormPage, name)
    if keyword.iskeyword(name) or name in LOCAL_NAMES or is_taken:
        meaning = "has a meaning of its own in the code that is written"
        raise Fault(place, f"cannot be {name!r}, which {meaning}; choose another name.")


def _check_class(place: Place, name: str) -> None:
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name, re.ASCII) or len(name) > LONGEST + 7:
        raise Fault(
            place,
            f"is {name!r}; it is the name of a class: ASCII letters and digits, starting with a capital, at most "
            f"{LONGEST + 7} characters, such as IpPrefix.",
        )
    if keyword.iskeyword(name):
        raise Fault(place, f"is {name!r}, a word of Python's own; choose another name.")


def _check_length(place: Place, text: str, longest: int) -> None:
    if len(text) > longest:
        raise Fault(place, f"has {len(text)} characters; at most {longest} are allowed.")


def _check_once(place: Place, key: str, names: Iterable[str | None]) -> None:
    seen = set()
    for index, name in enumerate(names):
        if name is not None and name in seen:
            raise Fault((*place, index, key), f"is {name!r}, as another before it; each has a name of its own.")
        seen.add(name)


def _check_field(one: Value) -> None:
    text, place = one.text, one.place
    _check_name((*place, "name"), one.name, ProductBlockModel)
    for key in ("description", "unit"):
        _check_length((*place, key), getattr(text, key), LONGEST_TEXT)
    for low, high in (("min_items", "max_items"), ("min_value", "max_value"), ("min_length", "max_length")):
        least, most = getattr(text, low), getattr(text, high)
        if least is not None and most is not None and least > most:
            raise Fault((*place, low), f"is {least}, and {high} is {most}; the first may not be more than the second.")
    if text.assigned and (text.type != "str" or text.required != "active"):
        raise Fault(
            (*place, "assigned"), "is for a field of `type: str` and `required: active`: the controller gives it."
        )
    if one.stage == "Inactive" and one.default is None:
        raise Fault((*place, "required"), "is 'initial', so the field needs a `default`; give it one.")
    try:
        if one.type is not None and text.default is not None:
            for value in text.default if one.is_list else [text.default]:
                one.type.value(value)
    except (Unfit, TypeError) as unfit:
        raise Fault((*place, "default"), str(unfit)) from None


def _check_validations(spec: ProductSpec) -> None:
    """Validations of fields are functions of one module, those of a workflow methods or steps."""
    for one in spec.values:
        for number, check in enumerate(one.text.validations):
            _check_id((*one.place, "validations", number, "id"), check.id)
    for index, workflow in enumerate(spec.text.workflows):
        place: Place = ("workflows", index, "validations")
        _check_once(place, "id", (check.id for check in workflow.validations))
        for number, check in enumerate(workflow.validations):
            _check_id((*place, number, "id"), check.id)
        if workflow.name == "reconcile" and workflow.validations:
            raise Fault(place, "are for reconcile, which has none; write them for validate.")


def _check_id(place: Place, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{,79}", name) or keyword.iskeyword(name):
        raise Fault(place, f"is {name!r}; it is the name of a function: lower-case letters, digits and underscores.")
    if name in LOCAL_NAMES or hasattr(SubmitFormPage, name):
        raise Fault(place, f"cannot be {name!r}, which has a meaning of its own; choose another name.")


def _check_existing(spec: ProductSpec) -> None:
    """Names are unique in a database."""
    products = {product.name for product in spec.existing.products}
    if taken := sorted(products & {name for name, _ in spec.products}):
        raise Fault(("name",), f"makes the product {taken[0]!r}, which the project has already; choose another name.")
    types = {product.product_type for product in spec.existing.products}
    if spec.class_name in types:
        raise Fault(("type",), f"is {spec.class_name!r}, which another product of the project has; choose another.")
    for index, block in enumerate(spec.text.product_blocks):
        if (block.block_name or block.type) in spec.existing.block_names:
            raise Fault(
                ("product_blocks", index, "type"),
                f"is {block.type!r}, a block that the project has already; to relate to it, name it as the type of a "
                "field only.",
            )
    if taken := sorted({f"{name}_{spec.module}" for name in spec.workflows} & spec.existing.workflows):
        raise Fault(("name",), f"makes the workflow {taken[0]!r}, which the project has already; choose another name.")
