"""Ends tasks for certain: a cancellation can be lost when it meets what the task has waited for."""

import asyncio
from typing import Any

AGAIN_SECONDS = 1.0
"""How long a task has to end before it is cancelled once more."""


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until all have ended, whatever they raise.

    One call of `cancel` is not enough: `asyncio.wait_for` of Python 3.11, which psycopg uses, returns an answer that
    comes in the same moment, and the task would go on for ever.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
