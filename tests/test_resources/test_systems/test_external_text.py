"""The normal form of a text that another system keeps."""

import re
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resources.systems.external_text import ExternalText
from resources.systems.netbox_texts import MARKER, NETBOX_DESCRIPTION, NETBOX_DEVICE_NAME, NETBOX_NAME

NOTE = ExternalText("The ticket system", longest=10, added=4, ending=r"#\d\d")
ENTERED: TypeAdapter[str] = TypeAdapter(Annotated[str, NOTE.entered])
STORED: TypeAdapter[str] = TypeAdapter(Annotated[str, NOTE])
MARK = "[0123456789abcdef]"
texts = st.text() | st.text(alphabet=" \u0301eé\n#1[]af0\u00a0", max_size=300)


@given(texts)
def test_the_normal_form_is_its_own_normal_form_and_can_be_delivered(text):
    for field in (NOTE, NETBOX_DESCRIPTION, NETBOX_NAME):
        normal = field.normal(text)
        assert field.normal(normal) == normal
        assert len(normal) <= field.longest - field.added
        assert not normal or field.fault_of(normal) is None


@given(texts)
def test_what_a_form_accepts_is_stored_as_it_was_delivered(text):
    if NOTE.fault_of(text) is None:
        assert STORED.validate_python(ENTERED.validate_python(text)) == ENTERED.validate_python(text)


def test_a_form_drops_white_space_at_the_ends():
    assert ENTERED.validate_python(" up\t") == "up"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (" \t", "no characters but white space"),
        ("one\ntwo", "it is one line"),
        ("one\x1btwo", "it is one line"),
        ("1234567", "keeps at most 6 characters here, for 4 of its 10 are the orchestrator's own mark; this has 7"),
        ("up #12", "looks like the orchestrator's own mark"),
    ],
)
def test_a_form_says_what_cannot_be_kept(text, fault):
    with pytest.raises(ValidationError, match=fault):
        ENTERED.validate_python(text)


def test_a_model_reads_what_older_code_has_saved():
    assert STORED.validate_python("  1234567 and more\n") == "123456"


def test_two_encodings_of_one_letter_are_the_same():
    assert NOTE.same("cafe\u0301", "café")


def test_case_makes_a_difference_only_where_it_does():
    assert NETBOX_DEVICE_NAME.same("AMS1", "ams1")
    assert not NOTE.same("UP", "up")


def test_no_text_and_an_empty_one_are_the_same():
    assert NOTE.same(None, " ")


def test_the_room_in_a_description_is_that_beside_a_marker():
    assert re.fullmatch(MARKER, MARK)
    assert NETBOX_DESCRIPTION.added == len(f" {MARK}")
