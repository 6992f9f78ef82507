"""The service of one application: its schema, made from the models of all that it serves, and who may ask what."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import GraphQLObjectType, GraphQLSchema

from orchestrator_defs.api.graphql.executor import Executor
from orchestrator_defs.api.graphql.federation import ReadKeys, by_uuid, federated, sdl
from orchestrator_defs.api.graphql.mutations import mutations
from orchestrator_defs.api.graphql.roots import Reading, SchemaTypes, lists_of
from orchestrator_defs.api.graphql.selecting import Asked, Selected
from orchestrator_defs.api.graphql.type_texts import describe
from orchestrator_defs.api.security.access_rules import Call
from orchestrator_defs.api.security.authorisation import Authorisation
from orchestrator_defs.api.security.graphql_limits import Limits
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.jobs.type_names import models_of, type_names
from resources.errors import NotAuthorised
from resources.pages.selection import MOST_ROWS, Line, Selection
from resources.pages.subscription_pages import customer_line
from resources.subscriptions.customers import customers_of
from resources.users import User

log = logging.getLogger(__name__)

TOKENS, COST = 2_000, 200_000


def make_executor(served: Served, settings: ApiSettings) -> Executor:
    """What executes documents about the models of these orchestrators."""
    models, names = models_of(served.orchestrators), type_names(served.orchestrators)
    for clash in names.clashes:  # doctor sees those of one location only
        log.warning("%s", clash)
    reading, types = Reading(models), SchemaTypes(models, names)
    changes = GraphQLObjectType("Mutation", mutations(types.description, settings.oauth2_active))

    def schema(more: Mapping[str, Any]) -> GraphQLSchema:
        query = GraphQLObjectType("Query", {**types.query(reading), **more})
        return describe(GraphQLSchema(query, changes, types=types.subscriptions))

    text = sdl(schema({}))
    whole = schema(federated(lambda: text, types.keyed(), _readers(types, reading), types.rule_of))
    limits = Limits(
        tokens=TOKENS,
        cost=COST,
        seconds=settings.graphql_timeout_seconds,
        most_items=MOST_ROWS,
        lists=lists_of(whole),
    )
    return Executor(whole, limits, introspection=settings.graphql_introspection)


def _readers(types: SchemaTypes, reading: Reading) -> dict[str, ReadKeys]:
    def customers(ids: Sequence[str], selection: Selection) -> dict[str, Line]:
        found = {key: customer_line(one) for key, one in customers_of(ids).items()}
        reading.subscriptions.fill_customers(list(found.values()), selection)
        return found

    subscriptions = by_uuid(reading.subscriptions.by_id)
    return {
        types.product.name: by_uuid(lambda ids, selection: reading.catalogue.by_id("products", ids, selection)),
        types.customer.name: customers,
        types.process.name: by_uuid(reading.processes.by_id),
        **{kind.name: _of_type(kind.name, subscriptions, types) for kind in types.subscriptions},
        **{kind.name: by_uuid(reading.subscriptions.blocks_by_id) for kind in types.models.blocks.values()},
    }


def _of_type(name: str, read: ReadKeys, types: SchemaTypes) -> ReadKeys:
    """Only subscriptions of this type."""

    def of_type(keys: Sequence[str], selection: Selection) -> dict[str, Line]:
        found = read(keys, selection)
        return {key: line for key, line in found.items() if types.models.name_of_product(line["_product"]) == name}

    return of_type


async def refusals(authorisation: Authorisation, user: User, selected: Selected) -> dict[Asked, Exception]:
    """Why this user may not see parts of a selection, or do what it asks: by the rules of REST for the same things."""
    found: dict[Asked, Exception] = {}
    rules: dict[Asked, Mapping[str, Any]] = {one: {} for one in selected.asked}
    for (method, path), arguments in (rules | selected.rules).items():
        rule, parts = authorisation.rules.find(method, path, is_dagsters=False)
        call = Call(method, path, rule.least, parts, {}, _answering(arguments))
        if (why := await authorisation.refusal(user, call)) is not None:
            found[method, path] = NotAuthorised(why)
    return found


def _answering(arguments: Mapping[str, Any]) -> Callable[[], Any]:
    async def read_json() -> Any:
        return json.loads(json.dumps(dict(arguments), default=str))

    return read_json
