"""Single flight with a time limit: concurrent callers share one slow check and wait only so long."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

ABANDON_AFTER = 5
"""After this many time limits without an answer the check is started again: its connection may be dead."""


class Question(Generic[T]):
    """A slow check that runs once at a time, in a thread of its own; all concurrent callers share its answer. So a
    hanging database costs one thread, not one per caller.
    """

    def __init__(self, put: Callable[[], T]) -> None:
        self._put = put
        self._answer: asyncio.Future[T] | None = None
        self._since = 0.0

    async def answer(self, seconds: float) -> T:
        """The answer. Raises TimeoutError after `seconds`, and whatever the check raises."""
        is_open = self._answer is not None and not self._answer.done()
        if self._answer is None or not is_open or time.monotonic() - self._since > ABANDON_AFTER * seconds:
            self._answer, self._since = self._start(), time.monotonic()
        return await asyncio.wait_for(asyncio.shield(self._answer), seconds)

    def _start(self) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # all callers may have timed out

        def succeed(result: T) -> None:
            if not answer.done():
                answer.set_result(result)

        def fail(error: BaseException) -> None:
            if not answer.done():
                answer.set_exception(error)

        def run() -> None:
            with suppress(RuntimeError):  # the loop is closed: the server has stopped
                try:
                    result = self._put()
                except Exception as error:  # noqa: BLE001  the callers get any error
                    loop.call_soon_threadsafe(fail, error)
                else:
                    loop.call_soon_threadsafe(succeed, result)

        threading.Thread(target=run, daemon=True, name="question").start()
        return answer
