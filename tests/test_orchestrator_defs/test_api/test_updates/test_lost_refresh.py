"""The web client loses a message that comes just after an answer: it ends on the final state all the same."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from websockets.asyncio.client import connect

from orchestrator_defs.api.updates import pacing
from tests.api import application, serving
from tests.engine import Engine
from tests.live import EVENTS

pytestmark = pytest.mark.slow
TRIALS = 12
ROUNDS = 3
STEPS = 6
FINAL = str(STEPS - 1)
LONGEST_QUERY_SECONDS = 0.6
QUIET_SECONDS = 3.0


@pytest.fixture
def engine(engine_of: Callable[..., Engine]) -> Engine:
    return engine_of()


class FlawedPage:
    """The page of one process in a client with the flaw, in the worst of luck.

    A message that comes within milliseconds after the end of a query is lost. Here that happens to the first message
    after the final state was reached, whenever a query that was asked before could have ended just then.
    """

    def __init__(self, url: str, database: str, process_id: UUID) -> None:
        self.url, self.process_id = url, process_id
        self._database = psycopg.connect(database, autocommit=True)
        self.shown = ""
        self.lost = 0
        self._asked_at: float | None = None

    async def look(self) -> None:
        """Show the process, and follow what is sent, until nothing is for a while."""
        async with connect(self.url, proxy=None, compression=None) as connection:
            await self._ask()
            while True:
                try:
                    async with asyncio.timeout(QUIET_SECONDS):
                        value = json.loads(await connection.recv())["value"]
                except TimeoutError:
                    return self._database.close()
                if value["type"] == "processes" and value.get("id") in (None, str(self.process_id)):
                    await self._note()

    async def _note(self) -> None:
        asked_at = self._asked_at
        could_end_now = asked_at is not None and _now() - asked_at < LONGEST_QUERY_SECONDS
        if could_end_now and self.shown != FINAL and await asyncio.to_thread(self._read) == FINAL:
            self.lost += 1
            self._asked_at = None
        else:
            await self._ask()

    async def _ask(self) -> None:
        self._asked_at = _now()
        self.shown = await asyncio.to_thread(self._read)

    def _read(self) -> str:
        query = "SELECT last_step FROM processes WHERE process_id = %s"
        row = self._database.execute(query, (self.process_id,)).fetchone()
        assert row is not None
        return str(row[0])


def _now() -> float:
    return asyncio.get_running_loop().time()


def burst(database: str, process_id: UUID, seed: int) -> None:
    """A process whose last steps come quickly."""
    chance = random.Random(seed)
    with psycopg.connect(database, autocommit=True) as connection:
        for number in range(STEPS):
            connection.execute(
                "UPDATE processes SET last_step = %s, last_status = %s, last_modified_at = now() WHERE process_id = %s",
                (str(number), "completed" if number == STEPS - 1 else "running", process_id),
            )
            time.sleep(chance.choice((0.001, 0.02, 0.06, 0.2, 0.3)))


def trials(engine: Engine) -> list[FlawedPage]:
    """Some dozens of bursts, each looked at by a page of its own."""
    url = engine.database.url.set(drivername="postgresql").render_as_string(hide_password=False)

    async def story(websocket: str) -> list[FlawedPage]:
        pages: list[FlawedPage] = []
        for number in range(ROUNDS):
            some = [FlawedPage(websocket, url, _new_process(url)) for _ in range(TRIALS)]
            looking = [asyncio.create_task(page.look()) for page in some]
            await asyncio.sleep(0.3)
            happening = [
                asyncio.to_thread(burst, url, page.process_id, number * TRIALS + i) for i, page in enumerate(some)
            ]
            await asyncio.gather(*happening)
            await asyncio.gather(*looking)
            pages += some
        return pages

    with serving(application(engine)) as address:
        return asyncio.run(story(f"{address.replace('http', 'ws')}{EVENTS}"))


def _new_process(url: str) -> UUID:
    process_id = uuid4()
    values: tuple[Any, ...] = (process_id,)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO processes (process_id, workflow_id, last_status, step_keys)"
            " SELECT %s, workflow_id, 'created', '[]' FROM workflows LIMIT 1",
            values,
        )
    return process_id


def test_every_page_ends_on_the_final_state(engine: Engine) -> None:
    pages = trials(engine)
    assert sum(page.lost for page in pages) > len(pages) / 2, "the pages have no bad luck"
    assert [page.shown for page in pages] == [FINAL] * TRIALS * ROUNDS


def test_without_the_repetition_pages_stay_behind(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the test above could not fail."""
    take_due = pacing.Pacer.take_due

    def news_alone(self: pacing.Pacer, now: float) -> list[Any]:
        again = {message for message, entry in self._entries.items() if not entry.is_new}
        return [message for message in take_due(self, now) if message not in again]

    monkeypatch.setattr(pacing.Pacer, "take_due", news_alone)
    assert {page.shown for page in trials(engine)} > {FINAL}
