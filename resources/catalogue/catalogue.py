"""The product catalogue: declares products and workflows in code, and keeps the database's rows equal to them."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated, Any, get_type_hints

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from sqlalchemy.dialects.postgresql import JSONB, insert

from resources.catalogue.apply import Fills, add_to, make_so
from resources.catalogue.backlog import Chooser, Splits, enqueue, has_backlog
from resources.catalogue.kinds import BLOCK, ENGINE, NOBODY, PRODUCT
from resources.catalogue.owners import become_owner, belongings, share_of
from resources.catalogue.plan import CatalogueChange, CataloguePlan, compare
from resources.catalogue.rows import (
    DeclaredCatalogue,
    ProductRow,
    WorkflowRow,
    block_rows,
    members,
    moved_fields,
    required_blocks,
    root_blocks,
)
from resources.catalogue.stored import read_catalogue
from resources.database.session import SubscriptionDatabase, current_session
from resources.database.tables import EngineSettingsTable, ProductTable
from resources.declaring import check_kinds
from resources.domain.models.formerly import former_names
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY, VALIDATED_WITHIN
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import CatalogueBlocked, CatalogueError, CatalogueOutOfDate, ModelDeclarationError
from resources.types import ProductLifecycle, Target

LONGEST_TAG = 20
LONGEST_NAME = 255
LONGEST_DESCRIPTION = 2000
SHORTEST_AGE, LONGEST_AGE = timedelta(minutes=1), timedelta(days=3650)
HASH_FORMAT = 3
"""Raise it when the same models give other rows, so that databases are updated."""


@dataclass(frozen=True)
class Product:
    """A product: a model with values for its fixed inputs.

    `formerly` has the product's former name, or names with the oldest first. The row, its id and its subscriptions are
    carried over. Never remove it: a new database derives the id from the oldest name.
    `validated_within`: no active subscription's last validation is to be older; VALIDATE_WITHIN_HOURS by default.
    `owners`: whom to ask about it, as mail addresses or names of teams, for its asset in Dagster's page.
    `split_from`: the product of which it takes over subscriptions, those for which the function `split_when` is true.
    """

    name: str
    tag: str
    model: type[SubscriptionModel]
    product_type: str
    description: str
    fixed_inputs: Mapping[str, Any] = field(default_factory=dict)
    status: ProductLifecycle = ProductLifecycle.ACTIVE
    formerly: str | Sequence[str] = ()
    validated_within: timedelta | None = None
    owners: Sequence[str] = ()
    split_from: str = ""
    split_when: Chooser | None = None

    def __post_init__(self) -> None:
        unchecked = ("model", "split_when")  # the catalogue checks models
        said = {name: value for name, value in vars(self).items() if name not in unchecked}
        check_kinds(f"Product {self.name!r}", get_type_hints(Product), said, ModelDeclarationError)
        if not SHORTEST_AGE <= (self.validated_within or SHORTEST_AGE) <= LONGEST_AGE:
            raise ModelDeclarationError(
                f"Product {self.name!r} is to be validated within {self.validated_within}; give a time between a minute"
                " and ten years."
            )
        if bool(self.split_from) != callable(self.split_when):
            raise ModelDeclarationError(
                f"Product {self.name!r} takes over subscriptions of another: give both `split_from`, its name, and "
                "`split_when`, a function of a subscription."
            )


@dataclass(frozen=True)
class WorkflowEntry:
    """A workflow in the catalogue; it belongs to all products of its product types."""

    name: str
    target: Target
    description: str
    is_task: bool
    product_types: tuple[str, ...] = ()
    is_built_in: bool = False
    formerly: tuple[str, ...] = ()


class Catalogue:
    """All products and workflows of the code of the location `owner`, whose rows alone it sees and changes.

    Checks the whole of it and registers the models. Raises ModelDeclarationError when a product does not fit its
    model, CatalogueError when names clash or a workflow names an unknown product type; each fault is in the message.
    """

    def __init__(
        self, products: Iterable[Product], workflows: Iterable[WorkflowEntry] = (), owner: str = "orchestrator"
    ) -> None:
        if owner in ("", ENGINE, NOBODY) or len(owner) > LONGEST_NAME:
            raise CatalogueError(f"A code location cannot be called '{owner}'; give build_definitions another name.")
        self.owner = owner
        self.products = tuple(products)
        self.workflows = tuple(workflows)
        _refuse(CatalogueError, _clashes(self.products, self.workflows))
        _refuse(ModelDeclarationError, [fault for product in self.products for fault in _mismatches(product)])
        SUBSCRIPTION_MODEL_REGISTRY.update({product.name: product.model for product in self.products})
        VALIDATED_WITHIN.update({product.name: product.validated_within for product in self.products})
        self.rows = _declared(self.products, self.workflows, owner)
        self.hash = _hash(self.rows)

    @property
    def splits(self) -> Splits:
        """Which products take over subscriptions of which."""
        found: dict[str, tuple[tuple[str, Chooser], ...]] = {}
        for product in self.products:
            if product.split_when is not None:
                found[product.split_from] = (*found.get(product.split_from, ()), (product.name, product.split_when))
        return found

    def plan(
        self, *, drop_values: bool = False, take_over: str | None = None, fills: Fills | None = None
    ) -> CataloguePlan:
        """The changes that `apply` would make to the database of the current transaction. Raises CatalogueClash."""
        if take_over is not None:
            belongings(take_over)
        share = share_of(self.owner, self.rows, read_catalogue(), take_over)
        return compare(self.owner, share, drop_values=drop_values, fills=self._checked(fills))

    def _checked(self, fills: Fills | None) -> Fills:
        """The values that whoever applies gives to blocks without them. Raises CatalogueError."""
        for (block, name), given in (fills or {}).items():
            value = self.rows.blocks[block].values.get(name) if block in self.rows.blocks else None
            if value is None or value.reads is None:
                raise CatalogueError(f"The code has no value '{block}.{name}' that could be filled.")
            try:
                value.reads(given)
            except ValueError as error:
                raise CatalogueError(f"'{block}.{name}' cannot be filled with {given!r}: {error}.") from error
        return fills or {}

    def apply(
        self,
        *,
        remove: bool = False,
        drop_values: bool = False,
        take_over: str | None = None,
        fills: Fills | None = None,
    ) -> CataloguePlan:
        """Write the code's catalogue into the database, and return the changes.

        What the code does not declare stays, unless `remove`; values that the models no longer have stay stored, unless
        `drop_values`, which removes too. `take_over`: a former name of this location, whose rows and processes become
        its own. `fills`: (block, value) -> what instances without it get. Works in the current transaction, which holds
        the catalogue's lock until its end; the caller commits. The subscriptions that the back-fill has to visit are
        noted. May run twice. Raises CatalogueClash when another location owns what the code declares, and
        CatalogueBlocked when subscriptions would fail to load, or values would go that the back-fill has yet to read.
        """
        _lock()
        if take_over is not None:
            become_owner(self.owner, take_over)
        share = share_of(self.owner, self.rows, read_catalogue(), take_over)
        plan = compare(self.owner, share, drop_values=drop_values, fills=self._checked(fills))
        removes = remove or drop_values
        if not removes:
            plan = plan.additions
        if plan.blocked:
            raise CatalogueBlocked(_listed("Nothing was changed, for this cannot be applied as it is:", plan.blocked))
        if drop_values and (plan.reads_old_values or has_backlog(ProductTable.owner == self.owner)):
            raise CatalogueBlocked(
                "Nothing was changed: the back-fill has yet to read values that --drop-values would delete. Apply "
                "without it, run `orchestrator catalogue backfill`, then drop them."
            )
        if removes and plan:
            make_so(share, fills or {}, drop_values=drop_values)
        elif plan:
            add_to(share, fills or {})
        blocks, products = plan.refilled(BLOCK), plan.refilled(PRODUCT)
        if blocks or products:
            enqueue(blocks, products)
        self._remember()
        return plan

    def is_current(self) -> bool:
        """Whether the database of the current transaction has all that the code needs. Raises CatalogueClash."""
        return self._is_remembered() or not self.plan().needed

    def _is_remembered(self) -> bool:
        known = EngineSettingsTable.catalogue_hash[self.owner].astext
        return current_session().scalar(sa.select(known)) == self.hash

    def _remember(self) -> None:
        """Store the hash of the code whose rows the database now has, with or without rows of other code."""
        session, column = current_session(), EngineSettingsTable.catalogue_hash
        remember = insert(EngineSettingsTable).values(singleton=True, catalogue_hash={self.owner: self.hash})
        merged = sa.func.coalesce(column, sa.cast({}, JSONB)).concat(remember.excluded.catalogue_hash)
        session.execute(remember.on_conflict_do_update(index_elements=["singleton"], set_={"catalogue_hash": merged}))
        session.flush()
        session.expire_all()

    def ensure_current(self, database: SubscriptionDatabase) -> None:
        """Check that the database has what this catalogue declares; remembered once it has.

        On the embedded database what the code adds or updates is applied and committed. Elsewhere it raises
        CatalogueOutOfDate with what is missing and the command that applies it. What the code no longer has is
        nowhere a reason to refuse. Raises CatalogueClash.
        """
        known = (database.engine.url.render_as_string(), self.hash)
        if known in _seen:
            return
        with database.transaction():
            if not self._is_remembered():
                if database.is_embedded:
                    self.apply()
                elif plan := self.plan().needed:
                    raise CatalogueOutOfDate(_out_of_date(plan))
        _seen.add(known)


_seen: set[tuple[str, str]] = set()


def forget(database: SubscriptionDatabase) -> None:
    """Let `ensure_current` check again, after the catalogue's rows were removed from the database."""
    url = database.engine.url.render_as_string()
    _seen.difference_update([known for known in _seen if known[0] == url])


def _lock() -> None:
    """Lock the database's catalogue until the end of the transaction."""
    current_session().execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("catalogue"))))


def _out_of_date(plan: CataloguePlan) -> str:
    """A sentence with the changes that are needed, and the command that makes them."""
    return _listed(
        f"The catalogue in the database lacks what code location '{plan.owner}' declares. See `orchestrator catalogue "
        "plan`, then run `orchestrator catalogue apply`, with the options that name this location.",
        plan.changes,
    )


def _listed(sentence: str, changes: Sequence[CatalogueChange]) -> str:
    listed = "".join(f"\n  {change}" for change in changes[:10])
    more = f"\n  … and {len(changes) - 10} more" if len(changes) > 10 else ""
    return f"{sentence}{listed}{more}"


def _refuse(error: type[CatalogueError], faults: list[str]) -> None:
    if faults:
        raise error(faults[0] if len(faults) == 1 else f"{len(faults)} faults: " + " ".join(faults))


def _clashes(products: Sequence[Product], workflows: Sequence[WorkflowEntry]) -> list[str]:
    faults = [f"Product '{name}' is listed twice." for name in _repeated(p.name for p in products)]
    faults += [f"Workflow '{name}' is listed twice." for name in _repeated(w.name for w in workflows)]
    names = {product.name for product in products}
    for product in products:
        faults += [
            f"Product '{product.name}' declares that it was formerly '{former}', which is a product of the catalogue."
            for former in former_names(product.formerly)
            if former in names
        ]
    claimed = _repeated(former for product in products for former in former_names(product.formerly))
    faults += [f"More than one product declares that it was formerly '{former}'." for former in claimed]
    types = {product.product_type for product in products}
    for workflow in workflows:
        faults += [
            f"Workflow '{workflow.name}' is for product type '{unknown}', which no product has; "
            f"known product types: {', '.join(sorted(types)) or 'none'}."
            for unknown in workflow.product_types
            if unknown not in types
        ]
        faults += _too_long(f"Workflow '{workflow.name}'", workflow.name, workflow.description)
    return faults


def _repeated(names: Iterable[str]) -> list[str]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return [name for name, times in counted.items() if times > 1]


def _too_long(what: str, name: str, description: str) -> list[str]:
    faults = [] if name.strip() else [f"{what} has no name."]
    if len(name) > LONGEST_NAME:
        faults.append(f"{what} has a name of {len(name)} characters; at most {LONGEST_NAME} are allowed.")
    if len(description) > LONGEST_DESCRIPTION:
        faults.append(
            f"{what} has a description of {len(description)} characters; at most {LONGEST_DESCRIPTION} are allowed."
        )
    return faults


def _mismatches(product: Product) -> list[str]:
    what = f"Product '{product.name}'"
    faults = _too_long(what, product.name, product.description)
    if len(product.tag) > LONGEST_TAG or not product.tag:
        faults.append(f"{what} has the tag '{product.tag}'; a tag has 1 to {LONGEST_TAG} characters.")
    if not _is_subscription_model(product.model):
        return [*faults, f"{what} has the model {product.model!r}, which is not a SubscriptionModel class."]
    fields = product.model.plain_fields()
    model = product.model.__name__
    for name in sorted(fields.keys() - product.fixed_inputs.keys()):
        faults.append(f"{what} gives no value for the fixed input '{name}' of {model}.")
    for name in sorted(product.fixed_inputs.keys() - fields.keys()):
        known = ", ".join(sorted(fields)) or "none"
        faults.append(f"{what} gives a fixed input '{name}' that {model} does not have; it has: {known}.")
    for name in sorted(fields.keys() & product.fixed_inputs.keys()):
        try:
            _as_json(product.model.model_fields[name], product.fixed_inputs[name])
        except ValidationError as error:
            wrong = error.errors()[0]["msg"]
            faults.append(f"{what}: fixed input '{name}' of {model} cannot be {product.fixed_inputs[name]!r}: {wrong}.")
    return faults


def _is_subscription_model(model: object) -> bool:
    return isinstance(model, type) and issubclass(model, SubscriptionModel)


def _as_json(info: FieldInfo, value: Any) -> Any:
    annotation: Any = Annotated[info.annotation, info]
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    return adapter.dump_python(adapter.validate_python(value), mode="json")


def _declared(products: Sequence[Product], workflows: Sequence[WorkflowEntry], owner: str) -> DeclaredCatalogue:
    return DeclaredCatalogue(
        {product.name: _product_row(product, workflows, owner) for product in products},
        block_rows((product.model for product in products), owner),
        {w.name: _workflow_row(w, owner) for w in workflows},
    )


def _workflow_row(workflow: WorkflowEntry, owner: str) -> WorkflowRow:
    owner = ENGINE if workflow.is_built_in else owner
    target, formerly = workflow.target.value, workflow.formerly
    return WorkflowRow(workflow.name, target, workflow.description, workflow.is_task, owner, formerly)


def _product_row(product: Product, workflows: Iterable[WorkflowEntry], owner: str) -> ProductRow:
    fields = product.model.model_fields
    return ProductRow(
        name=product.name,
        description=product.description,
        product_type=product.product_type,
        tag=product.tag,
        status=ProductLifecycle(product.status).value,
        fixed_inputs={name: _as_json(fields[name], value) for name, value in product.fixed_inputs.items()},
        formerly=former_names(product.formerly),
        roots=frozenset(root_blocks(product.model)),
        workflows=frozenset(w.name for w in workflows if product.product_type in w.product_types),
        owner=owner,
        moved=moved_fields(members([product.model])),
        required=required_blocks(members([product.model])),
        split_from=product.split_from,
    )


def _hash(rows: DeclaredCatalogue) -> str:
    """Hash everything but descriptions and status, which people may edit."""
    content = [
        HASH_FORMAT,
        sorted((replace(p, description="", status="") for p in rows.products.values()), key=lambda p: p.name),
        sorted((replace(b, description="") for b in rows.blocks.values()), key=lambda b: b.name),
        sorted((replace(w, description="") for w in rows.workflows.values()), key=lambda w: w.name),
    ]
    return hashlib.sha256(json.dumps(content, default=_plain, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Convert what json cannot write: rows to mappings, sets to sorted lists."""
    if isinstance(value, frozenset):
        return sorted(value)
    return {name: one for name, one in vars(value).items() if not callable(one)}
