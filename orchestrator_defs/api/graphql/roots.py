"""The schema: the roots, their arguments, and the types that are the same in every orchestrator."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLString,
)

from orchestrator_defs.api.graphql import process_resolvers
from orchestrator_defs.api.graphql.model_types import KEY, Fields, ModelTypes, field
from orchestrator_defs.api.graphql.scalars import IDENTIFIER, JSON, MOMENT
from orchestrator_defs.api.graphql.selecting import ASKS, RULE, Asked
from orchestrator_defs.api.security.graphql_limits import check_time
from orchestrator_defs.jobs.type_names import TypeNames
from resources.domain.models.declaration import DomainModel
from resources.pages.catalogue_pages import CataloguePages, customer_page
from resources.pages.process_pages import ProcessPages
from resources.pages.selection import Line, Selection, place
from resources.pages.subscription_pages import SubscriptionPages

COMPATIBLE = "5.5.0"
"""The version of orchestrator-core's API that clients may take this for."""
PACKAGE = "dagster-service-orchestrator"
FIRST = 10

SUBSCRIPTIONS, SUBSCRIPTION = ("GET", "/api/subscriptions"), ("GET", "/api/subscriptions/domain-model/*")
PROCESSES, PROCESS = ("GET", "/api/processes"), ("GET", "/api/processes/*")
PRODUCTS, BLOCKS = ("GET", "/api/products"), ("GET", "/api/product_blocks/*")
VALUES, WORKFLOWS = ("GET", "/api/resource_types/*"), ("GET", "/api/workflows")
VALIDATION, VALIDATIONS = ("GET", "/api/subscriptions/*/validation"), ("GET", "/api/subscriptions/*/validations")
SCHEDULES, DESCRIPTIONS = ("GET", "/api/schedules"), ("GET", "/api/subscription_customer_descriptions/*")
Resolve = Callable[..., Any]


class Reading:
    """The readers behind a schema."""

    def __init__(self, models: dict[str, type[DomainModel]]) -> None:
        self.subscriptions = SubscriptionPages(models)
        self.processes = ProcessPages(self.subscriptions)
        self.catalogue = CataloguePages(self.subscriptions)


def needed(kind: Any) -> Any:
    """A type that is never null."""
    return GraphQLNonNull(kind)


def many(kind: Any) -> Any:
    """A list without gaps."""
    return GraphQLList(GraphQLNonNull(kind))


def guarded(
    kind: GraphQLOutputType, rule: tuple[str, str], resolve: Resolve | None = None, **options: Any
) -> GraphQLField:
    """A field that REST guards by this rule: who may not see it gets an error in its place, and the rest."""

    def resolved(source: Any, info: Any, **arguments: Any) -> Any:
        check_time()
        if (why := info.context.refused.get((rule[0], rule[1].format_map(arguments)))) is not None:
            raise why
        if resolve is not None:
            return resolve(source, info, **arguments)
        return source[place(info.field_name, arguments)]  # what was not read must not look like nothing

    return GraphQLField(kind, resolve=resolved, extensions={RULE: rule}, **options)


def plain(text: str) -> Fields:
    """Fields that lie in their object under their own names, written as in a schema: `id: UUID!, name: String`."""
    return {name.strip(): field(_kind(kind)) for name, kind in (one.split(":") for one in text.split(","))}


def _kind(text: str) -> Any:
    text = text.strip()
    if text.endswith("!"):
        return needed(_kind(text[:-1]))
    return GraphQLList(_kind(text[1:-1])) if text.startswith("[") else NAMED[text]


def object_type(name: str, made: Callable[[], Fields], key: str | None = None) -> GraphQLObjectType:
    """A type; `key` is the field by which a federation knows its objects."""
    return GraphQLObjectType(name, made, extensions={KEY: key} if key else {})


TEXT, WHOLE = GraphQLString, GraphQLInt
PLAIN = (GraphQLString, GraphQLInt, GraphQLFloat, GraphQLBoolean, IDENTIFIER, MOMENT, JSON)
NAMED: dict[str, Any] = {one.name: one for one in PLAIN}
ORDER = GraphQLEnumType("SortOrder", {"ASC": "asc", "DESC": "desc"})
SORT = GraphQLInputObjectType(
    "GraphqlSort",
    {"field": GraphQLInputField(needed(TEXT)), "order": GraphQLInputField(needed(ORDER), default_value="asc")},
)
FILTER = GraphQLInputObjectType(
    "GraphqlFilter", {"field": GraphQLInputField(needed(TEXT)), "value": GraphQLInputField(needed(TEXT))}
)
ARGUMENTS = {
    "first": GraphQLArgument(needed(WHOLE), FIRST),
    "after": GraphQLArgument(needed(WHOLE), 0),
    "sortBy": GraphQLArgument(many(SORT)),
    "filterBy": GraphQLArgument(many(FILTER)),
    "query": GraphQLArgument(TEXT),
}
OF_HISTORY = {name: ARGUMENTS[name] for name in ("first", "after")}
FOUND = (
    "workflow: String, result: String!, reason: String, severity: String, differences: JSON!, version: Int,"
    "processId: UUID, runId: String, finishedAt: DateTime, seconds: Float"
)
"""What a validation found."""
PAGE_INFO = object_type(
    "PageInfo",
    lambda: plain(
        "hasNextPage: Boolean!, hasPreviousPage: Boolean!, startCursor: Int, endCursor: Int,"
        "totalItems: Int, totalIsExact: Boolean!, sortFields: [String!]!,"
        "filterFields: [String!]!"
    ),
)


class SchemaTypes:
    """All types of one schema. Each schema has its own, but for scalars and inputs."""

    def __init__(self, models: dict[str, type[DomainModel]], names: TypeNames) -> None:
        self.models = ModelTypes(models, names)
        self.customer = object_type(
            "CustomerType",
            lambda: {
                **plain("customerId: String!, fullname: String!, shortcode: String!"),
                "subscriptions": guarded(self.subscription_page, SUBSCRIPTIONS, args=ARGUMENTS),
            },
            key="customerId",
        )
        self.description = object_type(
            "CustomerDescription",
            lambda: plain(
                "id: UUID!, subscriptionId: UUID!, customerId: String!, description: String!,"
                "version: Int!, createdAt: DateTime!"
            ),
        )
        self.interface = GraphQLInterfaceType(
            "SubscriptionInterface",
            self._of_subscription,
            resolve_type=lambda source, *_: self.models.name_of_product(source["_product"]),
        )
        self.product = object_type("ProductType", self._of_product, key="productId")
        self.block = object_type("ProductBlock", self._of_block)
        self.value = object_type("ResourceType", self._of_value)
        self.workflow = object_type("Workflow", self._of_workflow)
        self.process = object_type("ProcessType", self._of_process, key="processId")
        self.instance = object_type("ProductBlockInstance", self._of_instance)
        self.validation = object_type("Validation", lambda: plain(f"{FOUND}, dueAt: DateTime"))
        past = object_type("PastValidation", lambda: plain(f"{FOUND}, createdBy: String"))
        self.step = object_type(
            "ProcessStep",
            lambda: plain(
                "stepId: UUID, name: String!, status: String!, createdBy: String, stateDelta: JSON,"
                "started: DateTime, completed: DateTime, executed: DateTime, commitHash: String"
            ),
        )
        self.subscription_page = self._page("SubscriptionInterface", self.interface)
        self.process_page = self._page("ProcessType", self.process)
        self.validation_page = self._page("PastValidation", past)
        other = GraphQLObjectType(
            "PlainSubscription", self._of_subscription, [self.interface], extensions={KEY: "subscriptionId"}
        )
        typed = self.models.subscriptions(
            self.interface, self._of_subscription, lambda kind: guarded(kind, SUBSCRIPTION)
        )
        self.subscriptions = [other, *typed]

    def query(self, reading: Reading) -> Fields:
        """The roots."""
        scheduled = object_type(
            "ScheduledTask",
            lambda: plain(
                "id: UUID!, name: String!, nextRunTime: DateTime, trigger: String!, workflowId: UUID!,"
                "lastRunTime: DateTime, lastProcessId: UUID, lastRefusal: String"
            ),
        )
        about = object_type("Version", lambda: plain("applicationVersions: [String!]!"))
        listed = {
            "workflows": (self.workflow, WORKFLOWS),
            "products": (self.product, PRODUCTS),
            "productBlocks": (self.block, BLOCKS),
            "resourceTypes": (self.value, VALUES),
            "scheduledTasks": (scheduled, SCHEDULES),
        }
        roots = {
            name: root(self._page(kind.name, kind), rule, partial(reading.catalogue.page, name))
            for name, (kind, rule) in listed.items()
        }
        customers = partial(customer_page, reading.subscriptions)
        return {
            "version": field(needed(about), resolve=lambda *_: {"applicationVersions": versions()}),
            **roots,
            "customers": root(self._page("CustomerType", self.customer), SUBSCRIPTIONS, customers),
            "processes": root(self.process_page, PROCESSES, reading.processes.page),
            "subscriptions": root(self.subscription_page, SUBSCRIPTIONS, reading.subscriptions.page),
        }

    def keyed(self) -> Sequence[GraphQLObjectType]:
        """The types that a federation may ask for by key."""
        return (self.product, self.customer, self.process, *self.subscriptions, *self.models.blocks.values())

    def rule_of(self, name: str) -> Asked:
        """The rule that guards the objects of a type with a key."""
        blocks = {kind.name for kind in self.models.blocks.values()}
        known = {self.product.name: PRODUCTS, self.process.name: PROCESSES}
        return SUBSCRIPTION if name in blocks else known.get(name, SUBSCRIPTIONS)

    # --- types ---

    def _page(self, name: str, kind: Any) -> GraphQLObjectType:
        return object_type(
            f"{name}Connection",
            lambda: {"page": field(needed(many(kind))), "pageInfo": field(needed(PAGE_INFO))},
        )

    def _of_subscription(self) -> Fields:
        return {
            **plain(
                "subscriptionId: UUID!, description: String!, status: String!, insync: Boolean!,"
                "customerId: String!, startDate: DateTime, endDate: DateTime, createdAt: DateTime!,"
                "note: String, version: Int!, metadata: JSON!, fixedInputs: JSON!,"
                "lastValidated: DateTime, validationResult: String, validationAge: Int"
            ),
            "validation": guarded(self.validation, VALIDATION),
            "validations": guarded(self.validation_page, VALIDATIONS, args=OF_HISTORY),
            "product": field(needed(self.product)),
            "customer": field(needed(self.customer)),
            "customerDescriptions": guarded(many(self.description), DESCRIPTIONS),
            "productBlockInstances": guarded(many(self.instance), SUBSCRIPTION),
            "processes": guarded(self.process_page, PROCESSES, args=ARGUMENTS),
            "inUseBySubscriptions": guarded(self.subscription_page, SUBSCRIPTIONS, args=ARGUMENTS),
            "dependsOnSubscriptions": guarded(self.subscription_page, SUBSCRIPTIONS, args=ARGUMENTS),
        }

    def _of_instance(self) -> Fields:
        owner = object_type("BlockOwner", lambda: plain("subscriptionId: UUID!, description: String!"))
        return {
            **plain(
                "id: Int!, parent: Int, subscriptionInstanceId: UUID!, ownerSubscriptionId: UUID!,"
                "productBlockInstanceValues: JSON, inUseByRelations: JSON!"
            ),
            "subscription": field(needed(owner)),
        }

    def _of_product(self) -> Fields:
        return {
            **plain(
                "productId: UUID!, name: String!, description: String!, productType: String!,"
                "tag: String!, status: String!, createdAt: DateTime!, endDate: DateTime"
            ),
            "fixedInputs": field(many(object_type("FixedInput", lambda: plain("name: String!, value: String!")))),
            "productBlocks": guarded(many(self.block), BLOCKS),
            "workflows": guarded(many(self.workflow), WORKFLOWS),
            "subscriptions": guarded(self.subscription_page, SUBSCRIPTIONS, args=ARGUMENTS),
        }

    def _of_block(self) -> Fields:
        return {
            **plain(
                "productBlockId: UUID!, name: String!, description: String!, tag: String, status: String!,"
                "createdAt: DateTime!, endDate: DateTime"
            ),
            "resourceTypes": guarded(many(self.value), VALUES),
            "dependsOn": guarded(many(self.block), BLOCKS),
            "inUseBy": guarded(many(self.block), BLOCKS),
        }

    def _of_value(self) -> Fields:
        return {
            **plain("resourceTypeId: UUID!, resourceType: String!, description: String!"),
            "productBlocks": guarded(many(self.block), BLOCKS),
        }

    def _of_workflow(self) -> Fields:
        step = object_type("WorkflowStep", lambda: plain("name: String!, assignee: String"))
        return {
            **plain(
                "workflowId: UUID!, name: String!, description: String!, target: String!,"
                "isTask: Boolean!, createdAt: DateTime!"
            ),
            "isAllowed": field(
                needed(GraphQLBoolean), resolve=process_resolvers.is_allowed, extensions={ASKS: process_resolvers.START}
            ),
            "steps": field(needed(many(step)), resolve=process_resolvers.workflow_steps),
            "products": guarded(many(self.product), PRODUCTS),
        }

    def _of_process(self) -> Fields:
        permissions = object_type("UserPermissions", lambda: plain("retryAllowed: Boolean!, resumeAllowed: Boolean!"))
        return {
            **plain(
                "processId: UUID!, workflowId: UUID!, workflowName: String!, workflowTarget: String!,"
                "isTask: Boolean!, lastStatus: String!, lastStep: String, assignee: String,"
                "failedReason: String, createdBy: String, startedAt: DateTime!, lastModifiedAt: DateTime!,"
                "note: String, runId: String, parentProcessId: UUID"
            ),
            "product": field(self.product),
            "customer": field(needed(self.customer)),
            "traceback": guarded(TEXT, PROCESS),
            "currentState": guarded(JSON, PROCESS, process_resolvers.state),
            "steps": guarded(many(self.step), PROCESS, process_resolvers.steps),
            "form": guarded(JSON, PROCESS, process_resolvers.form),
            "userPermissions": field(
                needed(permissions),
                resolve=process_resolvers.permissions,
                extensions={ASKS: process_resolvers.RESUME},
            ),
            "subscriptions": guarded(self.subscription_page, SUBSCRIPTIONS, args=ARGUMENTS),
        }


def root(kind: GraphQLOutputType, rule: tuple[str, str], read: Callable[[Selection], Line]) -> GraphQLField:
    """A root list. Everything below it is read at once, by what was selected."""
    return guarded(kind, rule, lambda _, info, **__: read(info.context.selected.roots[info.path.key]), args=ARGUMENTS)


@cache
def versions() -> list[str]:
    """First the version that clients compare with the least that they need, then our own."""
    return [f"compatible-api: {COMPATIBLE}", f"{PACKAGE} {version(PACKAGE)}"]


def lists_of(schema: GraphQLSchema) -> frozenset[str]:
    """The fields that are lists of which a part is asked for."""
    kinds = [kind for kind in schema.type_map.values() if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)]
    return frozenset(name for kind in kinds for name, one in kind.fields.items() if "first" in one.args)
