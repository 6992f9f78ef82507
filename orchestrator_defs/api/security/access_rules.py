"""The access rules: the least role of every route, in one table that people can read."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Protocol

from resources.users import Role, User

WEBSOCKET = "WEBSOCKET"
"""The method for the opening of a WebSocket."""
UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
KINDS = {"": "[^/]+", "path": ".*", "uuid": UUID, "token": "[A-Za-z0-9_-]+"}


class Open(StrEnum):
    """Access that needs no role."""

    EVERYBODY = "everybody"
    LOGGED_IN = "logged in"


@dataclass(frozen=True)
class Rule:
    """The least role for a route: some methods, separated by spaces, of a path.

    A part of a path in braces is any part; `{name:path}` is any rest. A slash at the end makes no difference. `counted`
    limits the calls of a caller, because they need no login.
    """

    methods: str
    path: str
    least: Role | Open
    counted: bool = False
    each_method: frozenset[str] = field(init=False, compare=False, repr=False)
    pattern: re.Pattern[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "each_method", frozenset(self.methods.split()))
        object.__setattr__(self, "pattern", re.compile(_pattern(self.path), re.DOTALL))

    def is_of(self, template: str | None) -> bool:
        """Whether a route is this rule's, by its path; None is any."""
        return template is None or _shape(self.path) == _shape(template)

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The named parts of a path that this rule fits; None for any other."""
        found = self.pattern.fullmatch(path) if method in self.each_method else None
        return found and found.groupdict()


def _pattern(path: str) -> str:
    parts = re.split(r"\{(\w+)(?::(\w+))?\}", path.rstrip("/"))
    written = [re.escape(parts[0])]
    for name, kind, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        written.append(f"(?P<{name}>{KINDS[kind or '']}){re.escape(text)}")
    return "".join(written) + "/?"


@cache
def _shape(path: str) -> str:
    """A path without the names of its places and without a slash at its end; a place for any rest is another."""
    return re.sub(r"\{\w+(:path)?(:\w+)?\}", r"{\1}", path.rstrip("/"))


RULES: Sequence[Rule] = (
    # open to everybody
    Rule("GET", "/api/health", Open.EVERYBODY),
    Rule("GET", "/api/health/live", Open.EVERYBODY),
    Rule("GET", "/api/health/ready", Open.EVERYBODY),
    Rule("GET", "/api/translations/{language}", Open.EVERYBODY),
    Rule("GET", "/api/login", Open.EVERYBODY),
    Rule("GET", "/api/login/callback", Open.EVERYBODY),
    Rule("GET POST", "/api/logout", Open.EVERYBODY),
    Rule("POST", "/api/processes/{process_id:uuid}/callback/{token:token}", Open.EVERYBODY, counted=True),
    Rule("POST", "/api/processes/{process_id:uuid}/callback/{token:token}/progress", Open.EVERYBODY, counted=True),
    Rule("GET", "/api/me", Open.LOGGED_IN),
    # only admins may read the settings
    Rule("GET", "/api/settings/overview", Role.ADMIN),
    # reading
    Rule("GET", "/api/docs", Role.VIEWER),
    Rule("GET", "/api/docs/assets/{file:path}", Role.VIEWER),
    Rule("GET", "/api/redoc", Role.VIEWER),
    Rule("GET", "/api/openapi.json", Role.VIEWER),
    Rule("GET", "/api/processes", Role.VIEWER),
    Rule("GET", "/api/processes/status-counts", Role.VIEWER),
    Rule("GET", "/api/processes/{process_id}", Role.VIEWER),
    Rule("GET", "/api/subscriptions", Role.VIEWER),
    Rule("GET", "/api/subscriptions/search", Role.VIEWER),
    Rule("GET", "/api/subscriptions/domain-model/{subscription_id}", Role.VIEWER),
    Rule("GET", "/api/subscriptions/workflows/{subscription_id}", Role.VIEWER),
    Rule("GET", "/api/subscriptions/{subscription_id}", Role.VIEWER),
    Rule("GET", "/api/subscriptions/{subscription_id}/in_use_by", Role.VIEWER),
    Rule("GET", "/api/subscriptions/{subscription_id}/depends_on", Role.VIEWER),
    Rule("GET", "/api/subscriptions/{subscription_id}/validation", Role.VIEWER),
    Rule("GET", "/api/subscriptions/{subscription_id}/validations", Role.VIEWER),
    Rule("GET", "/api/subscriptions/{subscription_id}/versions", Role.VIEWER),
    Rule("GET", "/api/subscriptions/{subscription_id}/versions/{version}", Role.VIEWER),
    Rule("GET", "/api/subscription_customer_descriptions/{description_id}", Role.VIEWER),
    Rule(
        "GET",
        "/api/subscription_customer_descriptions/customer/{customer_id}/subscription/{subscription_id}",
        Role.VIEWER,
    ),
    Rule("GET", "/api/products", Role.VIEWER),
    Rule("GET", "/api/products/{product_id}", Role.VIEWER),
    Rule("GET", "/api/product_blocks/{product_block_id}", Role.VIEWER),
    Rule("GET", "/api/resource_types/{resource_type_id}", Role.VIEWER),
    Rule("GET", "/api/workflows", Role.VIEWER),
    Rule("GET", "/api/workflows/{workflow_id}", Role.VIEWER),
    Rule("GET", "/api/settings/status", Role.VIEWER),
    Rule("GET", "/api/metrics", Role.VIEWER),
    Rule("GET", "/api/settings/worker-status", Role.VIEWER),
    Rule("GET", "/api/settings/cache-names", Role.VIEWER),
    Rule("GET", "/api/schedules", Role.VIEWER),
    Rule("GET", "/api/schedules/{schedule_id}/firings", Role.VIEWER),
    # a question at least: what it asks for is looked at by the rules of the same things here
    Rule("GET POST", "/api/graphql", Role.VIEWER),
    Rule("GET", "/api/graphql/assets/{file:path}", Role.VIEWER),
    Rule("GET", "/api/search/definitions", Role.VIEWER),
    Rule("GET", "/api/search/paths", Role.VIEWER),
    Rule("GET POST", "/api/search/queries", Role.VIEWER),
    Rule("GET DELETE", "/api/search/queries/{query_id}", Role.VIEWER),
    Rule("GET", "/api/search/queries/{query_id}/run", Role.VIEWER),
    Rule("GET", "/api/search/queries/{query_id}/export", Role.VIEWER),
    Rule("POST", "/api/search/{kind}", Role.VIEWER),
    Rule("POST", "/api/search/{kind}/export", Role.VIEWER),
    Rule("POST", "/api/search/{kind}/aggregate", Role.VIEWER),
    Rule("POST", "/api/user/error", Role.VIEWER),
    Rule("POST", "/api/user/log/{user_name}", Role.VIEWER),
    Rule(WEBSOCKET, "/api/ws/events", Role.VIEWER),
    Rule(WEBSOCKET, "/api/processes/all", Role.VIEWER),
    Rule(WEBSOCKET, "/api/settings/ws-status", Role.VIEWER),
    # operating
    Rule("PUT", "/api/processes/{process_id}/resume", Role.OPERATOR),
    Rule("PUT", "/api/processes/{process_id}/abort", Role.OPERATOR),
    Rule("PUT", "/api/processes/{process_id}/skip", Role.OPERATOR),
    Rule("PUT", "/api/processes/{process_id}/back", Role.OPERATOR),
    Rule("PATCH", "/api/processes/{process_id}", Role.OPERATOR),
    Rule("POST", "/api/processes/{workflow_key}", Role.OPERATOR),
    Rule("PUT", "/api/subscriptions/{subscription_id}/set_in_sync", Role.OPERATOR),
    Rule("POST", "/api/subscriptions/{subscription_id}/push_intent", Role.OPERATOR),
    Rule("POST", "/api/subscriptions/{subscription_id}/accept_reality", Role.OPERATOR),
    Rule("POST PUT", "/api/subscription_customer_descriptions", Role.OPERATOR),
    Rule("DELETE", "/api/subscription_customer_descriptions/{description_id}", Role.OPERATOR),
    Rule("POST", "/api/forms/{form_key}", Role.OPERATOR),
    # repairing
    Rule("PUT", "/api/processes/resume-all", Role.ENGINEER),
    Rule("DELETE", "/api/processes/{process_id}", Role.ENGINEER),
    Rule("POST PUT DELETE", "/api/schedules", Role.ENGINEER),
    # administration
    Rule("PUT", "/api/settings/status", Role.ADMIN),
    Rule("DELETE", "/api/settings/cache/{name}", Role.ADMIN),
    Rule("POST", "/api/settings/search-index/reset", Role.ADMIN),
    Rule("PATCH", "/api/products/{product_id}", Role.ADMIN),
    Rule("PATCH", "/api/product_blocks/{product_block_id}", Role.ADMIN),
    Rule("PATCH", "/api/resource_types/{resource_type_id}", Role.ADMIN),
    Rule("PATCH", "/api/workflows/{workflow_id}", Role.ADMIN),
)
"""The API's routes. The first rule that fits counts."""

DAGSTER_RULES: Sequence[Rule] = (
    # queries and mutations: the schema itself checks which mutations need an engineer
    Rule(f"GET POST {WEBSOCKET}", "/graphql", Role.VIEWER),
    Rule("POST", "/report_asset_materialization/{asset_key:path}", Role.ENGINEER),
    Rule("POST", "/report_asset_check/{asset_key:path}", Role.ENGINEER),
    Rule("POST", "/report_asset_observation/{asset_key:path}", Role.ENGINEER),
    Rule("GET", "/{page:path}", Role.VIEWER),
)
"""The routes of Dagster's page: all other paths."""


@dataclass(frozen=True)
class Call:
    """A request, or the opening of a WebSocket, for a policy.

    `read_json` returns the body, or None when it is not JSON; the route can still read it.
    """

    method: str
    path: str
    least: Role | Open
    path_params: Mapping[str, str]
    query: Mapping[str, str]
    read_json: Callable[[], Awaitable[Any]]


class Policy(Protocol):
    """Decides about each call of a logged-in user, unless its rule needs no role."""

    async def refusal(self, user: User, call: Call) -> str | None:
        """The reason for a refusal, or None. Raises PolicyUnavailable when there is no decision."""

    async def close(self) -> None:
        """Close its connections."""


class RolePolicy:
    """The built-in policy: a call needs a role, and users have roles."""

    async def refusal(self, user: User, call: Call) -> str | None:
        """None for a user with a role that includes the least one."""
        if not isinstance(call.least, Role) or user.has_role(call.least):
            return None
        has = f"has {' and '.join(sorted(user.roles))}" if user.roles else "has no role here"
        return f"{call.method} {call.path} needs the role {call.least}; {user} {has}."

    async def close(self) -> None:
        """There is nothing to close."""


class RuleBook:
    """The rules of a server: an organisation's own before ours. Without a rule a route needs an admin."""

    def __init__(self, own: Sequence[Rule] = ()) -> None:
        self.own = tuple(own)

    def find(
        self, method: str, path: str, *, is_dagsters: bool, template: str | None = None
    ) -> tuple[Rule, dict[str, str]]:
        """The rule of a call, and the named parts of its path.

        `template` is the path of the route that answers, if one does: a rule of ours is then that route's.
        """
        method = "GET" if method in ("HEAD", "OPTIONS") else method
        ours = [rule for rule in (DAGSTER_RULES if is_dagsters else RULES) if rule.is_of(template)]
        for rule in (*self.own, *ours):
            if (parts := rule.match(method, path)) is not None:
                return rule, parts
        return Rule(method, "/{path:path}", Role.ADMIN), {}
