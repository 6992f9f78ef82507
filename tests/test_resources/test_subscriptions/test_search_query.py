"""The language of searches."""

from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from resources.errors import InvalidQuery
from resources.subscriptions.search_query import (
    LONGEST_QUERY,
    UNKEEPABLE,
    And,
    Compare,
    Node,
    Not,
    Or,
    Phrase,
    Range,
    Word,
    parse,
    pattern,
    quote,
    render,
)

SIGNS = st.text(alphabet="ab:-()|\" \\*'_&é.<>=!\x1f\x00\ud800", max_size=60)
TEXTS = st.text(max_size=100).filter(lambda text: not UNKEEPABLE.search(text))
NAMES = st.from_regex(r"[a-z_]{1,5}(\.[a-z_]{1,5})?", fullmatch=True)
PATTERNS = st.text(alphabet='ab *"|().:=<-!é', max_size=8).map(lambda text: text.replace("b", "\\*"))
LEAVES = (
    st.builds(Phrase, TEXTS, NAMES | st.none())
    | st.builds(Compare, NAMES, st.sampled_from(["=", "<", "<=", ">", ">="]), PATTERNS | TEXTS.map(pattern))
    | st.builds(Range, NAMES, PATTERNS, PATTERNS)
    | st.builds(Word, st.from_regex(r"[a-z0-9*]{1,5}", fullmatch=True), NAMES | st.none())
)


def _above(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(nodes, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, nodes) | st.builds(And, several) | st.builds(Or, several)


TREES = st.recursive(LEAVES, _above, max_leaves=6)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("ams1", Word("ams1")),
        ("ams1 core", And((Word("ams1"), Word("core")))),
        ("ams1-core", Word("ams1-core")),
        ('"core router"', Phrase("core router")),
        ("a|b", Or((Word("a"), Word("b")))),
        ("a b|c", Or((And((Word("a"), Word("b"))), Word("c")))),
        ("a (b|c)", And((Word("a"), Or((Word("b"), Word("c")))))),
        ("-a", Not(Word("a"))),
        ("--a", Word("a")),
        ("-(a|b)", Not(Or((Word("a"), Word("b"))))),
        ("status:active", Word("active", "status")),
        ("-status:active", Not(Word("active", "status"))),
        ("status:(active|initial)", Or((Word("active", "status"), Word("initial", "status")))),
        ("description:(core router)", And((Word("core", "description"), Word("router", "description")))),
        ('note:"a b"', Phrase("a b", "note")),
        ("start_date:>=2024-01-01", Compare("start_date", ">=", "2024-01-01")),
        ("port.speed>=10000", Compare("port.speed", ">=", "10000")),
        ("speed:(>=10 <20)", And((Compare("speed", ">=", "10"), Compare("speed", "<", "20")))),
        ("status!=active", Not(Compare("status", "=", "active"))),
        ("description=ams*", Compare("description", "=", "ams*")),
        (r'description="50\* off*"', Compare("description", "=", r"50\* off*")),
        ("note=C:\\x", Compare("note", "=", r"C:\\x")),
        ("vlan:10..20", Range("vlan", "10", "20")),
        ('start_date:2024-01-01.."2024-01-31 12:00"', Range("start_date", "2024-01-01", "2024-01-31 12:00")),
        ("note:..", Word("..", "note")),
        ("node.name:ams*", Word("ams*", "node.name")),
        ("*core*", Word("*core*")),
        ("ipv6_loopback:FD00:10::0001", Phrase("fd00:10::1", "ipv6_loopback")),
        ("mac:00:11:22", Word("00:11:22", "mac")),
        ("10:20", Word("10:20")),
        ("fd00:10::1", Phrase("fd00:10::1")),
        ("-FD00:0010::0001", Not(Phrase("fd00:10::1"))),
        ("note:fd00:10::/64", Phrase("fd00:10::/64", "note")),
        ("ab:cd:ef:01:02:03", Phrase("ab:cd:ef:01:02:03")),
        ("https://noc.example.org/7", Phrase("https://noc.example.org/7")),
        ("insync:false ams", And((Word("false", "insync"), Word("ams")))),
        ("note:-x", Word("-x", "note")),
    ],
)
def test_a_query_is_read_as(text: str, node: Node) -> None:
    assert parse(text) == node


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ams (a", "character 5: the parenthesis is not closed"),
        ("a)", "character 2: `)` closes nothing"),
        ('a "b c', "character 3: the quote is not closed"),
        ('"a\\', "character 1: the quote is not closed"),
        ("status:", "character 8: a value for `status` is missing"),
        ("status: active", "character 8: a value for `status` is missing"),
        ("speed>= 5", "character 8: a value for `speed` is missing"),
        ("status=(a|b)", "character 8: a list is written `status:(a|b)`"),
        ("(", "character 2: a word is missing"),
        ("a|", "character 3: a word is missing"),
        ("-", "character 2: a word is missing"),
        ("a \x00", "character 3: a character stands here that is no text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_position(text: str, said: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        parse(text)
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["", "  ", "\t\n"])
def test_a_blank_text_asks_for_nothing_in_particular(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "text", ["x" * (LONGEST_QUERY + 1), "(" * LONGEST_QUERY, "a|" * 33, "-a " * 33, "a:" + "(" * 100]
)
def test_what_is_too_long_or_too_deep_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery):
        parse(text)


@given(SIGNS | st.text(max_size=600))
def test_no_text_raises_anything_but_our_own_error(text: str) -> None:
    with suppress(InvalidQuery):
        parse(text)


@given(TEXTS)
def test_a_quoted_text_is_that_phrase(text: str) -> None:
    assert parse(quote(text)) == Phrase(text)


@given(TEXTS)
def test_a_text_quoted_in_a_field_is_that_phrase_of_it(text: str) -> None:
    assert parse(f"note:{quote(text)}") == Phrase(text, "note")


@given(SIGNS)
def test_a_query_written_out_is_read_back_as_the_same(text: str) -> None:
    with suppress(InvalidQuery):
        if (node := parse(text)) is not None:
            assert parse(render(node)) == node


@given(TREES)
def test_a_tree_written_out_is_read_back_as_the_same(node: Node) -> None:
    assume(len(written := render(node)) <= LONGEST_QUERY)
    assert parse(written) == node
