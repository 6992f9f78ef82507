"""The tags of a run, as they are named and as they were."""

import pytest

from resources import tags


@pytest.mark.parametrize("tag", [tags.PROCESS, tags.SUBSCRIPTION, tags.USER, tags.REQUEST, tags.CELERY_SENT])
def test_tag_of_a_run_made_before_is_read(tag: str) -> None:
    former = "orchestrator/" + tag.rpartition("/")[2].removeprefix("orchestrator_")
    assert tags.read({former: "x"}, tag) == "x"


def test_new_tag_counts_before_a_former_one() -> None:
    """So nobody acts in another's name by writing the former one into a launchpad."""
    assert tags.read({"orchestrator/user": "the boss", "user": "erin"}, tags.USER) == "erin"


def test_person_who_launched_a_run_is_shown_and_the_engine_is_not() -> None:
    """Dagster's page then says which sensor it was."""
    assert (tags.of_user("erin"), tags.of_user("SYSTEM")) == (
        {"user": "erin"},
        {".dagster/orchestrator_user": "SYSTEM"},
    )
    assert tags.read(tags.of_user("SYSTEM"), tags.USER) == "SYSTEM"


def test_tag_without_a_value_is_not_written() -> None:
    assert tags.written({tags.PARENT: None, tags.USER: "erin"}) == {"user": "erin"}
