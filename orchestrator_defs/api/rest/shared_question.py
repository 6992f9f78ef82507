"""Patience with a limit: an answer that may never come is waited for so long and no longer."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

ABANDON_AFTER = 5
"""A question that has no answer after so many limits is asked anew: its connection may be dead, and the next is not."""


class Question(Generic[T]):
    """A slow question that many may ask at once: it is put once at a time, in a thread of its own, and all get the
    answer. So a database that hangs costs a thread and not one for each who asks.
    """

    def __init__(self, put: Callable[[], T]) -> None:
        self._put = put
        self._answer: asyncio.Future[T] | None = None
        self._since = 0.0

    async def answer(self, seconds: float) -> T:
        """The answer. Raises TimeoutError when it has not come in time, and what the question raises."""
        is_open = self._answer is not None and not self._answer.done()
        if self._answer is None or not is_open or time.monotonic() - self._since > ABANDON_AFTER * seconds:
            self._answer, self._since = self._start(), time.monotonic()
        return await asyncio.wait_for(asyncio.shield(self._answer), seconds)

    def _start(self) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting any more

        def succeed(result: T) -> None:
            if not answer.done():
                answer.set_result(result)

        def fail(error: BaseException) -> None:
            if not answer.done():
                answer.set_exception(error)

        def run() -> None:
            with suppress(RuntimeError):  # the loop is closed: the server has ended
                try:
                    result = self._put()
                except Exception as error:  # noqa: BLE001  whatever it is, those who wait are told
                    loop.call_soon_threadsafe(fail, error)
                else:
                    loop.call_soon_threadsafe(succeed, result)

        threading.Thread(target=run, daemon=True, name="question").start()
        return answer
