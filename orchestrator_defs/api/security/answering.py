"""Finds the route that answers a request: its rule decides, and not that of a path which looks like it."""

import unicodedata
from collections.abc import Sequence

from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that end a line or are none. Routers, proxies and policies disagree about them."""


def unfit_character(path: str) -> str | None:
    """The first character of a path that no route has a use for."""
    if path.isascii() and path.isprintable():
        return None
    return next((one for one in path if unicodedata.category(one) in UNFIT), None)


def template_of(routes: Sequence[BaseRoute], scope: Scope) -> str | None:
    """The path, with its places in braces, of the route that answers.

    None when no route does, or when an application that is mounted there decides.
    """
    tried = dict(scope)
    for one in iter_route_contexts(routes):
        if _match(one, tried) is Match.FULL:
            return None if isinstance(one.original_route, Mount) else one.path
    return None


def _match(one: RouteContext, scope: Scope) -> Match:
    included = isinstance(one.original_route, APIRoute) or getattr(one, "starlette_route", None) is not None
    return (one if included else one.route).matches(scope)[0]
