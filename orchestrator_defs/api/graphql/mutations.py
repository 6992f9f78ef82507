"""The mutations: each makes the checks of the REST call that does the same, and commits by itself."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
    GraphQLUnionType,
)

from ops.steps.state import readable
from orchestrator_defs.api.graphql.executor import Context
from orchestrator_defs.api.graphql.model_types import Fields, field
from orchestrator_defs.api.graphql.roots import guarded
from orchestrator_defs.api.graphql.scalars import IDENTIFIER, JSON
from resources.errors import FormIncomplete, FormInvalid, InvalidQuery, UnknownDescription, UnknownSubscription
from resources.pages.selection import Line
from resources.subscriptions import customer_descriptions as descriptions
from resources.users import User

LONGEST_CUSTOMER, LONGEST_DESCRIPTION, LONGEST_REPORTER = 255, 2000, 100
PAYLOAD = GraphQLInputObjectType("Payload", {"payload": GraphQLInputField(GraphQLNonNull(JSON))})
PATH = "/api/subscription_customer_descriptions"
Text = GraphQLNonNull(GraphQLString)


def mutations(description: GraphQLObjectType, oauth2_active: bool) -> Fields:
    """The fields of `Mutation`; `description` is the type of a customer's description."""
    failure = GraphQLObjectType("MutationError", {"message": field(Text), "details": field(JSON)})
    missing = GraphQLObjectType("NotFoundError", {"message": field(Text)})
    created = GraphQLObjectType("ProcessCreated", {"id": field(GraphQLNonNull(IDENTIFIER))})
    pair = {
        "customerId": GraphQLArgument(Text),
        "subscriptionId": GraphQLArgument(GraphQLNonNull(IDENTIFIER)),
    }
    described = _union("CustomerDescriptionOrNotFoundErrorOrMutationError", description, missing, failure)
    return {
        "startProcess": guarded(
            GraphQLNonNull(_union("ProcessCreatedOrMutationError", created, failure)),
            ("POST", "/api/processes/{name}"),
            partial(_or_failure, partial(_start, oauth2_active)),
            args={
                "name": GraphQLArgument(Text),
                "payload": GraphQLArgument(GraphQLNonNull(PAYLOAD)),
                "reporter": GraphQLArgument(GraphQLString),
            },
        ),
        "upsertCustomerDescription": guarded(
            GraphQLNonNull(described),
            ("PUT", PATH),
            partial(_or_failure, _describe),
            args={**pair, "description": GraphQLArgument(Text), "version": GraphQLArgument(GraphQLInt)},
        ),
        "removeCustomerDescription": guarded(
            GraphQLNonNull(described), ("DELETE", f"{PATH}/*"), partial(_or_failure, _forget), args=pair
        ),
    }


def _union(name: str, *kinds: GraphQLObjectType) -> Any:
    return GraphQLUnionType(name, kinds, resolve_type=lambda line, *_: line["_type"])


def _or_failure(change: Callable[..., Line], _root: Any, info: Any, **arguments: Any) -> Line:
    """What a change gives; what it refuses is an answer with a sentence, so that clients select its details."""
    try:
        return change(info.context, **arguments)
    except (UnknownSubscription, UnknownDescription) as error:
        return {"_type": "NotFoundError", "message": str(error)}
    except FormInvalid as error:
        return {"_type": "MutationError", "message": str(error), "details": readable(error.errors)}
    except FormIncomplete as error:
        return {"_type": "MutationError", "message": str(error), "details": readable({"form": error.schema})}


def _start(oauth2_active: bool, context: Context, name: str, payload: Mapping[str, Any], reporter: Any = None) -> Line:
    processes = context.processes
    workflow = processes.served.workflow(name)
    context.may(workflow.name, "start")
    user = context.user
    if reporter and not oauth2_active:  # nobody acts in another user's name
        _check(reporter, "reporter", LONGEST_REPORTER)
        user = User(reporter, claims=user.claims, roles=user.roles)
    start = partial(processes.starts.start, workflow.name, payload["payload"], user=user, empty_page_is_asked=True)
    process_id = context.wait(lambda: context.evaluate(start))
    context.started.append(process_id)
    return {"_type": "ProcessCreated", "id": process_id}


def _describe(context: Context, description: str, version: Any = None, **pair: Any) -> Line:
    customer_id, subscription_id = pair["customerId"], pair["subscriptionId"]
    _check(customer_id, "customerId", LONGEST_CUSTOMER)
    _check(description, "description", LONGEST_DESCRIPTION)
    with context.processes.database.transaction():
        known = descriptions.description_for_customer(subscription_id, customer_id)
        if known is None:
            found = descriptions.create_customer_description(subscription_id, customer_id, description)
        else:
            changed = descriptions.update_customer_description(known.id, description, version=version)
            if changed is None:
                raise UnknownDescription(f"The description of customer {customer_id!r} has just been removed.")
            found = changed
    return _line(found)


def _forget(context: Context, **pair: Any) -> Line:
    customer_id, subscription_id = pair["customerId"], pair["subscriptionId"]
    with context.processes.database.transaction():
        known = descriptions.description_for_customer(subscription_id, customer_id)
        if known is None or not descriptions.delete_customer_description(known.id):
            raise UnknownDescription(f"Customer {customer_id!r} has no description of subscription {subscription_id}.")
    return _line(known)


def _check(text: str, what: str, longest: int) -> None:
    if not text.strip() or len(text) > longest or any(ord(one) < 32 and one not in "\n\t\r" for one in text):
        raise InvalidQuery(f"`{what}` has 1 to {longest} characters, and no control characters.")


def _line(found: descriptions.CustomerDescription) -> Line:
    return {
        "_type": "CustomerDescription",
        "id": found.id,
        "subscriptionId": found.subscription_id,
        "customerId": found.customer_id,
        "description": found.description,
        "version": found.version,
        "createdAt": found.created_at,
    }
