"""Two hundred processes of five kinds at once, in bad conditions, with many interventions: each ends truly."""

from pathlib import Path

import pytest

from tests.scale import Scaled
from tests.test_kills.scene import scene

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kills"), pytest.mark.timeout(1200)]


def test_a_crowd_of_processes_ends_truly(scaled: Scaled) -> None:
    """Random failures, aborts, right and wrong answers, duplicate and late callbacks, skips, ways back, pauses."""
    with scene(Path(__file__).with_name("crowd.py")) as place, place.tended():
        assert place.ask("start", "200") == 200
        meddled = place.ask("meddle", str(scaled(300, least=15)))
        print(meddled, flush=True)  # noqa: T201  what was done, for those who read along
        assert meddled["left"] == [], place.story()
        place.wait_for(lambda: not any("is ST" in lie for lie in place.ask("check")["lies"]), 60)
        assert place.ask("check") == {"lies": [], "processes": 200}
        statuses = dict(place.rows("SELECT last_status, count(*) FROM processes GROUP BY 1"))
        assert set(statuses) <= {"completed", "aborted"}
        assert statuses["completed"] > 100
