"""What each type of the schema is, in a sentence: the explorer and the reference show it."""

from graphql import GraphQLSchema

ENDING = "Connection"
TEXTS = {
    "Query": "What can be asked; each list takes the same arguments.",
    "Mutation": "What can be changed; each is allowed to those who may make the same REST call.",
    "BlockOwner": "The subscription that a block belongs to.",
    "CustomerDescription": "How one customer calls a subscription.",
    "CustomerType": "A customer, as the resource `customers` knows it.",
    "FixedInput": "A value that belongs to a product and never changes.",
    "GraphqlFilter": "A field of `pageInfo.filterFields` and the value that fits; all filters must fit.",
    "GraphqlSort": "A field of `pageInfo.sortFields` and the order.",
    "MutationError": "Why a change was refused.",
    "NotFoundError": "There is nothing with this id.",
    "PageInfo": "Where a page stands in its list, how long that is, and by what it can be sorted and filtered.",
    "PastValidation": "A validation of a subscription that has ended, and what it found.",
    "Payload": "The pages of a form, one mapping for each.",
    "PlainSubscription": "A subscription to a product that the code does not have.",
    "ProcessCreated": "The process that was started.",
    "ProcessStep": "A step of a process: how it stands, and what it has changed in the state.",
    "ProcessType": "One execution of a workflow, or of a task.",
    "ProductBlock": "A product block of the catalogue: a group of values.",
    "ProductBlockInstance": "A block of a subscription, with its values and its relations.",
    "ProductType": "A product of the catalogue.",
    "ResourceType": "A value that blocks have.",
    "ScheduledTask": "A schedule: what starts by itself, when next and when last.",
    "SubscriptionInterface": "What every subscription has, whatever its product.",
    "UserPermissions": "What the user may do with a process.",
    "Validation": "What the newest validation of a subscription found.",
    "Version": "The version that clients may expect, then this server's own.",
    "Workflow": "A workflow of the catalogue, or a task.",
    "WorkflowStep": "A step of a workflow, in order.",
}


def describe(schema: GraphQLSchema) -> GraphQLSchema:
    """Give the types that have no description theirs; products and blocks have that of their classes."""
    for name, kind in schema.type_map.items():
        if not kind.description:
            listed = name.removesuffix(ENDING)
            kind.description = f"A page of a list of `{listed}`." if name != listed else TEXTS.get(name)
    return schema
