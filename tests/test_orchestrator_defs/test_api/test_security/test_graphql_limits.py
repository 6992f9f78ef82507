"""What one GraphQL document may have, and that every query of Dagster's own page is far below it."""

import re
import time
from pathlib import Path

import dagster_webserver
import pytest
from graphql import GraphQLError, build_schema, execute, get_introspection_query

from orchestrator_defs.api.security.graphql_limits import Limits, OutOfTime, TooMuch, check, in_time, stopping

LIMITS = Limits()
SCRIPTS = Path(dagster_webserver.__file__).parent / "webapp" / "build" / "_next"


@pytest.mark.parametrize(
    ("query", "variables", "sentence"),
    [
        ("{" + " ".join(f"a{n}: runs {{ id }}" for n in range(300)) + "}", {}, "has 300 aliases; the limit is 30"),
        ("{" + "a {" * 50 + "b" + "}" * 51, {}, "is 51 levels deep; the limit is 20"),
        ("{ runs(limit: 1000) { events(first: 1000) { id } } }", {}, "may give 1001001 values"),
        ("query ($n: Int) { runs(limit: $n) { events { id text } } }", {"n": 10**6}, "may give 3000001 values"),
        ("query ($n: Int = 1000000) { runs(limit: $n) { id } }", {}, "may give 1000001 values"),
        ("{" + "version " * 100 + "}", {}, "has the field version 100 times in one place; the limit is 20"),
    ],
)
def test_a_document_over_a_limit_is_refused_in_a_sentence(query, variables, sentence):
    with pytest.raises(TooMuch) as refused:
        check(query, variables, LIMITS)
    assert sentence in str(refused.value)
    assert refused.value.extensions == {"code": "QUERY_TOO_LARGE"}


def test_fragments_count_where_they_are_used():
    doubled = " ".join(f"fragment f{n} on Query {{ x {{ ...f{n + 1} }} y {{ ...f{n + 1} }} }}" for n in range(19))
    begun = time.monotonic()
    with pytest.raises(TooMuch, match="may give"):
        check(f"{{ ...f0 }} {doubled} fragment f19 on Query {{ id }}", {}, LIMITS)
    assert time.monotonic() - begun < 1  # they are measured once, though they would be half a million fields


NESTED = "{" + "a {" * 1000 + "b" + "}" * 1001
LONG = "{" + "a " * 20_000 + "}"


@pytest.mark.parametrize("query", [None, 1, [], "{", NESTED, LONG, f"{{ runs(x: {'[' * 2000}{']' * 2000}) }}"])
def test_what_cannot_be_parsed_is_an_error_of_graphql(query):
    with pytest.raises(GraphQLError):
        check(query, {}, LIMITS)


def test_a_cycle_is_left_to_the_validation():
    check("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a ...unknown }", {}, LIMITS)


def test_variables_may_be_anything():
    for variables in (None, [], "x", {"n": "many"}, {"n": None}, {"n": -5}, {"n": True}):
        check("query ($n: Int) { runs(limit: $n) { id } }", variables, LIMITS)


def test_the_members_of_a_union_exclude_one_another():
    members = " ".join(f"... on M{number} {{ a b c d e }}" for number in range(100))
    check(f"{{ events(limit: 10000) {{ {members} }} }}", {}, LIMITS)
    with pytest.raises(TooMuch):
        check(f"{{ events(limit: 10000) {{ {re.sub('M[0-9]+', 'M', members)} }} }}", {}, LIMITS)


def test_an_execution_ends_when_its_time_is_over():
    schema = build_schema("type Query { slow: [Query] id: ID }")
    schema.query_type.fields["slow"].resolve = lambda *_: time.sleep(0.02) or [{}] * 3
    document = check("{ slow { slow { slow { slow { slow { slow { id } } } } } } }", {}, LIMITS)
    begun = time.monotonic()
    with pytest.raises(OutOfTime), in_time(Limits(seconds=0.1)):
        execute(schema, document, middleware=[stopping])
    assert time.monotonic() - begun < 1


def queries_of_the_page():
    """The documents in the page's scripts: a fragment is known by its name."""
    found = {"fragment": {}, "query": {}, "mutation": {}, "subscription": {}}
    for script in SCRIPTS.rglob("*.js"):
        for text in re.findall(r'\["\\n((?:[^"\\]|\\.)*)"', script.read_text()):
            body = text.encode().decode("unicode_escape")
            if named := re.match(r"\s*(fragment|query|mutation|subscription) (\w+)", body):
                found[named[1]][named[2]] = body
    fragments = found.pop("fragment")

    def whole(body):
        used, left = {}, [body]
        while left:
            for name in re.findall(r"\.\.\.\s*(\w+)", left.pop()):
                if name in fragments and name not in used:
                    used[name] = fragments[name]
                    left.append(fragments[name])
        return "\n".join([body, *used.values()])

    return {name: whole(body) for kind in found.values() for name, body in kind.items()}


def test_every_query_of_dagsters_page_is_below_a_half_of_each_limit():
    limits = Limits(tokens=5000, depth=15, aliases=15, cost=250_000)
    queries = queries_of_the_page()
    assert len(queries) > 100
    for query in [*queries.values(), get_introspection_query()]:
        check(query, dict.fromkeys(re.findall(r"\$(\w*[lL]imit\w*)", query), 1000), limits)
