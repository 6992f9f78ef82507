"""The end of tasks that lose a cancellation."""

import asyncio
from contextlib import suppress

import pytest

from orchestrator_defs.api.updates import cancelling
from orchestrator_defs.api.updates.cancelling import cancelled


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_task_ends_that_loses_cancellations(monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    """As `wait_for` loses one that comes together with an answer."""
    monkeypatch.setattr(cancelling, "AGAIN_SECONDS", 0.01)

    async def listen() -> None:
        for _ in range(lost):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def scene() -> bool:
        task = asyncio.create_task(listen())
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await cancelled(task)
        return task.cancelled()

    assert asyncio.run(scene())


def test_what_a_task_raises_at_its_end_is_no_error_of_others() -> None:
    async def fail() -> None:
        raise ValueError

    async def scene() -> None:
        await cancelled(asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(100)))

    asyncio.run(scene())
