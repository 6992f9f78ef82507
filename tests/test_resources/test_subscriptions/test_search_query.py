"""The language of searches."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidQuery
from resources.subscriptions.search_query import LONGEST_QUERY, And, Node, Not, Or, Phrase, Word, parse, quote, render

NOTHING = Word("")
SIGNS = st.text(alphabet="ab:-()|\" \\*'_&é\x00\ud800", max_size=60)


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
        ("start_date:>=2024-01-01", Word(">=2024-01-01", "start_date")),
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
    ("text", "node"),
    [
        ("(a", Word("a")),
        ("a)", Word("a")),
        ('"a b', Phrase("a b")),
        ("status:", Word("", "status")),
        ("(", NOTHING),
        ("a|", Or((Word("a"), NOTHING))),
        ("-", Not(NOTHING)),
        ('a "', And((Word("a"), Phrase("")))),
        ('"a\\', Phrase("a")),
    ],
)
def test_what_is_not_closed_ends_with_the_text(text: str, node: Node) -> None:
    assert parse(text) == node


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


@given(st.text(max_size=100))
def test_a_quoted_text_is_that_phrase(text: str) -> None:
    assert parse(quote(text)) == Phrase(text)


@given(st.text(max_size=100))
def test_a_text_quoted_in_a_field_is_that_phrase_of_it(text: str) -> None:
    assert parse(f"note:{quote(text)}") == Phrase(text, "note")


@given(SIGNS)
def test_a_query_written_out_is_read_back_as_the_same(text: str) -> None:
    if (node := parse(text)) is not None:
        assert parse(render(node)) == node
