"""Makes a subscription of a row: its columns are paths of values, and a text in place of a block names another's."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, get_origin
from uuid import UUID, uuid5

from pydantic import ValidationError

from resources.domain.header_model import ProductModel
from resources.domain.models.block_model import BlockModel, resolve
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import BlockField, alternatives
from resources.domain.models.lifecycle import class_for
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.domain.saving.models_from_rows import plain_values
from resources.domain.saving.records import ProductRecord
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import OrchestratorError
from resources.service_import.files import ServiceRow
from resources.types import SubscriptionLifecycle

OF_A_DUMP = ("product", "version", "insync")
"""What a subscription's JSON has besides, and an import decides."""
COLLECTIONS = (list, set, frozenset, tuple, dict)
COLUMN = re.compile(r"\{([^{}]+)\}")


T = TypeVar("T", bound=UUID | SubscriptionLifecycle)


class RowRefused(OrchestratorError):
    """A row cannot become a subscription."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A block of another subscription, as a row names it: `text` is an id, or `name=value` of a value that it has."""

    text: str
    path: str
    types: tuple[type[BlockModel], ...]
    status: SubscriptionLifecycle


Found = Callable[[Reference], BlockModel]


@dataclass(frozen=True)
class RowReading:
    """How the rows of a file become subscriptions of a product.

    `key` is the column with an id of one's own, from which the subscription's id is made, always the same. `columns`
    are other names for columns; a column with an empty one is left out. `description` has columns in braces.
    """

    product: ProductRecord
    now: datetime
    customer_id: str
    key: str | None = None
    status: SubscriptionLifecycle = SubscriptionLifecycle.ACTIVE
    description: str | None = None
    note: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def draft(self, row: ServiceRow) -> "Draft":
        """Read the names of a row. Raises RowRefused."""
        own = row.values.get(self.key) if self.key else None
        flat = {self.columns.get(name, name): value for name, value in row.values.items() if name != self.key}
        if self.key and (self.key in self.columns or self._is_known(self.key)):
            flat[self.columns.get(self.key, self.key)] = own
        flat.pop("", None)
        values = nested(flat)
        status = _one_of(SubscriptionLifecycle, values.get("status") or self.status, "status")
        return Draft(self, row, values, self._id(values, own), status)

    def _is_known(self, column: str) -> bool:
        model = class_for(SUBSCRIPTION_MODEL_REGISTRY[self.product.name], self.status)
        return column.partition(".")[0] in model.model_fields

    def _id(self, values: Mapping[str, Any], own: Any) -> UUID:
        if given := values.get("subscription_id"):
            return _one_of(UUID, str(given), "subscription_id")
        if own is None or own == "":
            wanted = f"column {self.key!r}, which is the key," if self.key else "column 'subscription_id'"
            raise RowRefused(f"{wanted} is empty")
        return uuid5(self.product.product_id, str(own))


@dataclass(frozen=True)
class Draft:
    """A row whose names are read; its values are not yet."""

    reading: RowReading
    row: ServiceRow
    values: dict[str, Any]
    subscription_id: UUID
    status: SubscriptionLifecycle

    @property
    def _model(self) -> type[DomainModel]:
        return class_for(SUBSCRIPTION_MODEL_REGISTRY[self.reading.product.name], self.status)

    def references(self) -> Iterator[Reference]:
        """The blocks of other subscriptions that it names. Raises RowRefused."""
        yield from self._references(self._model, self.values, "")

    def model(self, found: Found) -> SubscriptionModel:
        """The subscription, in sync; `found` gives blocks of others. Raises RowRefused."""
        reading, values = self.reading, dict(self.values)
        self._check_product(values)
        header = {
            "customer_id": reading.customer_id,
            "description": self._description(),
            "note": reading.note,
            "start_date": reading.now if self.status is SubscriptionLifecycle.ACTIVE else None,
            "end_date": reading.now if self.status is SubscriptionLifecycle.TERMINATED else None,
        }
        header |= {name: values.pop(name) for name in tuple(header) if values.get(name) is not None}
        values |= header | {"subscription_id": self.subscription_id, "status": self.status, "insync": True}
        values |= plain_values(self._model, reading.product.fixed_inputs)
        values["product"] = ProductModel.of(reading.product)
        made = self._filled(self._model, values, "", found)
        assert isinstance(made, SubscriptionModel)
        return made

    def _check_product(self, values: dict[str, Any]) -> None:
        product = self.reading.product
        named = values.get("product", product.name)
        named = named.get("name") if isinstance(named, Mapping) else named
        if named != product.name:
            raise RowRefused(f"product: it is {named!r}, and {product.name!r} is imported")
        for name in OF_A_DUMP:
            values.pop(name, None)
        for name, value in product.fixed_inputs.items():
            if name in values and str(values[name]) != str(value):
                raise RowRefused(f"{name}: it is {values[name]!r}, and {product.name!r} has {value!r}")

    def _description(self) -> str:
        reading = self.reading
        if reading.description is None:
            own = f" {self.row.values[reading.key]}" if reading.key else ""
            return f"{reading.product.name}{own}"
        return COLUMN.sub(lambda column: str(self.row.values.get(column[1], "")), reading.description)

    def _references(self, cls: type[DomainModel], values: Mapping[str, Any], path: str) -> Iterator[Reference]:
        for block in cls.block_fields().values():
            for where, value in _held(block, values.get(block.name), path):
                if (one := self._reference(block, value, where)) is not None:
                    yield one
                elif isinstance(value, Mapping):
                    yield from self._references(self._class(block, value, where), value, f"{where}.")

    def _reference(self, block: BlockField, value: Any, path: str) -> Reference | None:
        if isinstance(value, Mapping) and str(value.get("owner_subscription_id", "")) not in (
            "",
            str(self.subscription_id),
        ):
            value = str(value.get("subscription_instance_id"))
        types = tuple(one for one in block.types if issubclass(one, BlockModel))
        return Reference(value, path, types, self.status) if isinstance(value, str) else None

    def _class(self, block: BlockField, values: Mapping[str, Any], path: str) -> type[BlockModel]:
        names = [one.__block_name__ for one in block.types if issubclass(one, BlockModel)]
        name = values.get("name") or (names[0] if len(set(names)) == 1 else None)
        found = resolve([one for one in block.types if issubclass(one, BlockModel)], str(name), self.status)
        if name is None or found is None:
            raise RowRefused(f"{path}.name: it says which block this is, {block.expected}; it is {name!r}")
        return found

    def _filled(self, cls: type[DomainModel], values: Mapping[str, Any], path: str, found: Found) -> DomainModel:
        filled = {
            name: _parsed(cls, name, value) if name in cls.plain_fields() else value for name, value in values.items()
        }
        for block in cls.block_fields().values():
            if block.name not in values and (block.is_list or block.is_optional or block.has_default):
                continue
            held = [
                self._block(block, value, where, found)
                for where, value in _held(block, values.get(block.name, {}), path)
            ]
            filled[block.name] = held if block.is_list else held[0]
        try:
            return cls(**filled)
        except ValidationError as error:
            raise RowRefused("; ".join(_faults(error, cls, path))) from None

    def _block(self, block: BlockField, value: Any, path: str, found: Found) -> Any:
        if (one := self._reference(block, value, path)) is not None:
            return found(one)
        if not isinstance(value, Mapping):
            return value
        cls = self._class(block, value, path)
        ids = {
            "subscription_instance_id": value.get("subscription_instance_id") or uuid5(self.subscription_id, path),
            "owner_subscription_id": self.subscription_id,
        }
        values = {name: one for name, one in value.items() if name != "name"}
        return self._filled(cls, values | ids, f"{path}.", found)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of dotted names; parts that are numbers are places in a list, and gaps between them close.

    `port.node=node_name` is `port.node` with the text `node_name=` and the value. Raises RowRefused.
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        dotted, _, of_other = name.partition("=")
        *above, last = dotted.split(".")
        inner = tree
        for part in above:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise RowRefused(f"{name}: another column has a value for a part of this name")
        if last in inner:
            raise RowRefused(f"{name}: another column has a value for this name")
        inner[last] = f"{of_other}={value}" if of_other else value
    return {name: _with_lists(value) for name, value in tree.items()}


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(one) for name, one in value.items()}
    if inner and all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def _held(block: BlockField, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    where = f"{path}{block.name}"
    if not block.is_list:
        yield where, value
        return
    several = value if isinstance(value, list) else [] if value is None else [value]
    yield from ((f"{where}.{place}", one) for place, one in enumerate(several))


def _parsed(cls: type[DomainModel], name: str, value: Any) -> Any:
    """A list or a mapping that a cell has as JSON."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        kinds = [get_origin(one) or one for one in alternatives(cls.model_fields[name].annotation)]
        if any(kind in COLLECTIONS for kind in kinds):
            try:
                return json.loads(value)
            except ValueError:
                return value
    return value


def _faults(error: ValidationError, cls: type[DomainModel], path: str) -> Iterator[str]:
    for fault in error.errors(include_input=False, include_url=False):
        where = path + ".".join(map(str, fault["loc"]))
        match fault["type"]:
            case "missing":
                yield f"{where}: a value is missing"
            case "extra_forbidden":
                known = ", ".join((*cls.plain_fields(), *cls.block_fields())) or "none"
                yield f"{where}: there is no such value; known are {known}"
            case _:
                yield f"{where.rstrip('.')}: {fault['msg']}"


def _one_of(kind: type[T], value: Any, name: str) -> T:
    try:
        return kind(value)
    except ValueError:
        known = f"; known are {', '.join(kind)}" if issubclass(kind, SubscriptionLifecycle) else ""
        raise RowRefused(f"{name}: {value!r} is no {kind.__name__}{known}") from None
