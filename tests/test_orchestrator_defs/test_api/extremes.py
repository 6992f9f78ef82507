"""Values at and beyond the limits of their types, and the places of requests at which they can stand."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

AN_ID = "00000000-0000-4000-8000-000000000000"
NUMBERS = [0, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 1e308, 0.1]
MOMENTS = [
    *("infinity", "-infinity", "294276-12-31T23:59:59Z", "0001-01-01T00:00:00 BC", "9999-12-31", "10000-01-01"),
    *("9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "253402300800"),
]
TEXTS = [
    *("", " ", "\0", "\ud800", "\x1b", "\u202e", "%", "\\", "'", "*", "!", "|", "-", ",", "٣", "²", "null", "true"),
    *("x" * 20_000, "9" * 5000, "NaN", "Infinity", "1e400", str(2**31), str(2**63), "0" * 32, "(" * 600, "a:(" * 150),
    *("-".join("9" * 40 for _ in range(300)), "2..1", "1.." + "9" * 30, *MOMENTS),
]
BARE = [
    *("NaN", "Infinity", "-Infinity", "1e400", "-0", "9" * 5000),
    *("[" * depth + "]" * depth for depth in (65, 500, 990, 20_000)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (65, 500, 990)),
]
"""JSON, or what Python takes for it, as it is sent."""
VALUES = [*((value, False) for value in (*TEXTS, *NUMBERS)), *((value, True) for value in BARE)]
HERE = "@here@"

SUBSCRIPTION_FIELDS = ("id", "description", "status", "insync", "startDate", "version", "lockedBy", "tag")
PROCESS_FIELDS = ("id", "workflow", "target", "isTask", "status", "assignee", "startedAt", "subscriptionId", "customer")


@dataclass(frozen=True)
class Request:
    """A request that is well formed. `{}` in a parameter is where its value stands."""

    method: str
    path: str
    names: Mapping[str, str] = field(default_factory=dict)
    """The parameters of the path, with a good value."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def places(self) -> list[tuple[Any, ...]]:
        """Each parameter, the whole body, and each value in it."""
        found: list[tuple[Any, ...]] = [("path", name) for name in self.names]
        found += [("query", name) for name in self.query] + [("header", name) for name in self.headers]
        return found + [("body", *path) for path in (_paths(self.body) if self.body is not None else ())]

    def send(self, api: httpx.Client, place: tuple[Any, ...], value: Any, *, bare: bool = False) -> httpx.Response:
        """Send it with another value at one place. `bare`: the value is JSON as it is sent."""
        text = value if isinstance(value, str) else str(value)
        path = self.path
        for name, good in self.names.items():
            path = path.replace(f"{{{name}}}", _quoted(text if place == ("path", name) else good))
        asked = [(name, form.replace("{}", text)) for name, form in self.query.items() if place == ("query", name)]
        headers = {"Content-Type": "application/json"}
        headers |= {
            name: text.encode("ascii", "replace").decode() for name in self.headers if place == ("header", name)
        }
        return api.request(
            self.method,
            path + "?" + "&".join(f"{name}={_quoted(said)}" for name, said in asked),
            content=b"" if self.body is None else self._written(place, value, bare=bare),
            headers=headers,
        )

    def _written(self, place: tuple[Any, ...], value: Any, *, bare: bool) -> bytes:
        if place[0] != "body":
            return json.dumps(self.body).encode()
        text = json.dumps(_with(self.body, place[1:], HERE))
        return text.replace(json.dumps(HERE), value if bare else json.dumps(value)).encode()


def described(document: dict[str, Any], known: Mapping[str, str]) -> Iterator[Request]:
    """A request for each operation that a description of an API has; `known` are good values of path parameters."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            places: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}, "cookie": {}}
            for one in operation.get("parameters", ()):
                places[one["in"]][one["name"]] = known.get(one["name"], AN_ID) if one["in"] == "path" else "{}"
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            body = _sample(content["schema"], document["components"]["schemas"]) if "schema" in content else None
            own = path.removeprefix("/api")
            yield Request(method.upper(), own, places["path"], places["query"], places["header"], body)


def by_hand(known: Mapping[str, str]) -> Iterator[Request]:
    """Requests whose bodies and parameters a description says less about than the code behind it."""
    for noun, fields in (("subscriptions", SUBSCRIPTION_FIELDS), ("processes", PROCESS_FIELDS)):
        for name in fields:
            for sign in ("", ">", "!"):
                yield Request("GET", f"/{noun}/", query={"filter": f"{name},{sign}{{}}"})
    for form in ("{}", "version:{}", "start_date>={}", "start_date:{}..{}", "insync:{}", "hostname={}", '"{}"', "-{}*"):
        yield Request("GET", "/subscriptions/search", query={"query": form})
    yield Request("GET", "/subscriptions/", query={"range": "0,{}", "sort": "note,{}"})
    page = {"name": "a", "count": 1, "share": 0.5}
    yield Request("POST", "/processes/asking", headers={"Idempotency-Key": "a"}, body=[page])
    yield Request("POST", "/processes/create_device", body=[{"product": known["product"], "hostname": "a"}])
    yield Request("POST", "/processes/modify_device", body=[{"subscription_id": AN_ID}, {"hostname": "a"}])
    yield Request("PUT", "/processes/{id}/resume", {"id": known["suspended"]}, body=[page])
    skip = {"reason": "a", "changes": {"a": 1, "subscription": {}}, "removed": ["b"]}
    yield Request("PUT", "/processes/{id}/skip", {"id": known["failed"]}, body=skip)
    yield Request("PUT", "/processes/{id}/back", {"id": known["failed"]}, body={"step": "a", "reason": "a"})
    made = {"workflow_name": "asking", "user_inputs": [page]}
    interval = dict.fromkeys(("weeks", "days", "hours", "minutes", "seconds"), 1)
    cron = dict.fromkeys(("year", "month", "day", "week", "day_of_week", "hour", "minute", "second"), "*")
    span = {"start_date": "2030-01-01", "end_date": "2031-01-01", "timezone": "UTC"}
    for kind, kwargs in (("date", {"run_date": "2030-01-01"}), ("interval", interval | span), ("cron", cron | span)):
        yield Request("POST", "/schedules/", body=made | {"trigger": kind, "trigger_kwargs": kwargs})
    for last in ({"run_at": 1}, {"first_run_at": 1, "interval": "1h"}, {"cron": "* * * * *", "timezone": "UTC"}):
        frequency = {"run_at": "once", "first_run_at": "interval", "cron": "cron"}[next(iter(last))]
        often = {"frequency": frequency, "schedule_name": "a"}
        yield Request("POST", "/forms/configure_schedule", body=[{"task": "asking"}, page, often, last])


def in_graphql(known: Mapping[str, str]) -> Iterator[Request]:
    """Documents of GraphQL: the values stand in their variables."""
    some = "first: $first, after: $after, sortBy: $sort, filterBy: $filter, query: $query"
    types = "$first: Int!, $after: Int!, $sort: [GraphqlSort!], $filter: [GraphqlFilter!], $query: String"
    moments = {
        "subscriptions": "startDate",
        "processes": "startedAt",
        "products": "createdAt",
        "workflows": "createdAt",
    }
    for noun, moment in moments.items():
        page = {"first": 1, "after": 0, "query": "a", "sort": [{"field": "description", "order": "ASC"}]}
        document = f"query({types}) {{{noun}({some}) {{pageInfo {{totalItems}} page {{__typename}}}}}}"
        body = page | {"filter": [{"field": moment, "value": "2030"}]}
        yield Request("POST", "/graphql", body={"query": document, "variables": body})
    start = "mutation($n: String!, $p: Payload!) {startProcess(name: $n, payload: $p) {__typename}}"
    pages = {"payload": [{"name": "a", "count": 1}]}
    yield Request("POST", "/graphql", body={"query": start, "variables": {"n": "asking", "p": pages}})
    describe = (
        "mutation($c: String!, $s: UUID!, $d: String!, $v: Int) "
        "{upsertCustomerDescription(customerId: $c, subscriptionId: $s, description: $d, version: $v) {__typename}}"
    )
    words = {"c": "a", "s": known["subscription_id"], "d": "a", "v": 1}
    yield Request("POST", "/graphql", body={"query": describe, "variables": words})


def _sample(schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> Any:
    """A value of a schema, with all of its fields."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return _sample(next(one for one in schema[key] if one.get("type") != "null"), schemas, depth)
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object" if depth < 5:
            fields = schema.get("properties", {}).items()
            return {name: _sample(one, schemas, depth + 1) for name, one in fields} or {"a": 1}
        case "array" if depth < 5:
            return [_sample(schema.get("items", {}), schemas, depth + 1)]
        case "string":
            return AN_ID if schema.get("format") == "uuid" else "a"
        case "integer" | "number":
            return 1
    return False


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*at, key))


def _with(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    key, *rest = path
    if isinstance(body, dict):
        return body | {key: _with(body[key], tuple(rest), value)}
    return [_with(item, tuple(rest), value) if index == key else item for index, item in enumerate(body)]
