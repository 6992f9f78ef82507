"""Which workflow answers drift, and with which input: what was found becomes the pages of a modification's form."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any
from uuid import uuid4

from ops.starting.admission import known_to_form, start_form
from ops.starting.drift_answer import Answer, DriftAnswer
from ops.steps.acceptance import accepted_values, refuse_to_accept
from ops.steps.arguments import arguments_of
from ops.steps.context import Scope
from ops.steps.forms import Page, fill
from ops.steps.state import to_json
from ops.steps.workflow import Workflow
from resources.errors import FormError, FormIncomplete, StartRefused
from resources.systems.difference import Difference
from resources.types import State

MOST_PAGES = 20


def answering_workflow(
    answer: Answer, workflows: Iterable[Workflow], product_type: str, named: str | None = None
) -> Workflow:
    """The workflow that gives an answer for a product type; `named` chooses among several.

    A modification that says what it `accepts` comes before those that have only a form. Raises StartRefused.
    """
    found = [one for one in workflows if one.target is answer.target and one.may_run_on(product_type)]
    if answer is Answer.ACCEPT_REALITY:
        with_form = [one for one in found if one.product_types and one.initial_input_form is not None]
        found = [one for one in found if one.accepts is not None] or with_form
    names = sorted(one.name for one in found)
    what = f"{answer.label} of a {product_type}"
    if not found:
        needs = "a reconcile workflow" if answer is Answer.PUSH_INTENT else "a modify workflow with a form"
        raise StartRefused(f"{what} needs {needs}, and there is none.", reason="workflow.none")
    if named is not None:
        found = [one for one in found if one.name == named]
        near = get_close_matches(named, names, n=1)
        hint = f"did you mean {near[0]}? There is" if near else "there is"
        if not found:
            raise StartRefused(f"{what} is not given by {named!r}; {hint} {', '.join(names)}.", reason="workflow.none")
    if len(found) > 1:
        raise StartRefused(
            f"{what} can be given by several workflows; name one as `workflow`: {', '.join(names)}.",
            reason="workflow.several",
        )
    return found[0]


def answering_pages(workflow: Workflow, given: DriftAnswer, user: str, resources: Mapping[str, Any]) -> list[Page]:
    """The input of the workflow; those fields of a modification for which nothing was found keep their values.

    Needs a transaction. Raises StartRefused that names each difference which cannot be accepted, FormInvalid with the
    field that the form refuses, and what the rules of the workflow refuse.
    """
    result, scope = given.result, Scope(resources=resources)
    pages: list[Page] = [{"subscription_id": str(result.subscription_id), "version": result.version}]
    if given.answer is Answer.PUSH_INTENT:
        return pages
    differences = [_difference(one) for one in result.differences]
    known = known_to_form(workflow, uuid4(), user)
    of_drift: State = {
        "subscription_id": str(result.subscription_id),
        "subscription": str(result.subscription_id),
        "differences": [asdict(one) for one in differences],
    }
    accepts = workflow.accepts or _by_name
    found: Any = accepts(**arguments_of(accepts).values(known | of_drift, scope, accepts.__name__))
    if not isinstance(found, Mapping):
        raise FormError(f"{accepts.__name__} returned {type(found).__name__}; it returns fields with their values.")
    left: State = to_json(dict(found), accepts.__name__)
    form = start_form(workflow, scope, given)
    while len(pages) < MOST_PAGES:  # each page takes its own fields of the values
        try:
            fill(form, known, pages, name=workflow.name)
            break
        except FormIncomplete as page:
            asked = (page.schema or {}).get("properties", {})
            pages.append({name: left.pop(name) for name in asked if name in left})
    if left:
        named = [one for one in differences if one.key in left]
        unknown = named or [Difference(name, None, value) for name, value in left.items()]
        refuse_to_accept([(one, f"the form of {workflow.name} has no such field") for one in unknown])
    return pages


def _by_name(differences: Sequence[Difference]) -> State:
    """The default: each difference is the field of the name at the end of its path."""
    return accepted_values(differences, lambda key: key)


def _difference(kept: Mapping[str, Any]) -> Difference:
    """A difference as results keep it."""
    values = (kept.get("path") or "", kept.get("expected"), kept.get("found"))
    return Difference(*values, kept.get("system") or "", kept.get("severity") or "error")
