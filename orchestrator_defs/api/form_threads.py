"""Threads for forms only: a form that hangs blocks no other route."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from resources.database.time_limit import TimeLimit, limited_by
from resources.errors import FormsBusy

log = logging.getLogger(__name__)

Result = TypeVar("Result")

AT_ONCE = 8
"""How many forms a server process evaluates at a time. Each may hold a database connection, of which there are more."""


class FormThreads:
    """Evaluates forms, each in a thread of its own, for a limited time.

    Threads are not pooled: one that hangs is abandoned, and must not keep the server from ending.
    """

    def __init__(self, seconds: float, at_once: int = AT_ONCE) -> None:
        self._seconds = seconds
        self._slots = asyncio.Semaphore(at_once)

    async def run(self, evaluate: Callable[[], Result]) -> Result:
        """The result of the evaluation, or its error. It commits in time, or not at all.

        Raises FormTimedOut, and FormsBusy when no thread is free for so long.
        """
        limit = TimeLimit(self._seconds)
        try:
            await asyncio.wait_for(self._slots.acquire(), limit.seconds)
        except TimeoutError:
            raise FormsBusy from None
        done = self._begin(evaluate, limit)
        try:
            return await asyncio.wait_for(asyncio.shield(done), limit.left)
        except TimeoutError:
            if not limit.expire():  # it commits now: wait for its result
                return await done
            log.warning("A form took longer than %g s; its thread continues, and commits nothing.", limit.seconds)
            done.add_done_callback(_look_at)
            raise limit.error() from None

    def _begin(self, evaluate: Callable[[], Result], limit: TimeLimit) -> "asyncio.Future[Result]":
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            try:
                with limited_by(limit):
                    result = evaluate()
            except BaseException as error:  # noqa: BLE001  the waiting caller gets whatever a form raises
                tell(_fail, done, error)
            else:
                tell(_finish, done, result)

        def tell(how: Callable[..., None], *arguments: Any) -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(how, *arguments)
                loop.call_soon_threadsafe(self._slots.release)

        try:
            threading.Thread(target=context.run, args=(work,), name="form", daemon=True).start()
        except RuntimeError:  # the system has no more threads
            self._slots.release()
            raise FormsBusy from None
        return done


def _finish(done: "asyncio.Future[Result]", result: Result) -> None:
    if not done.cancelled():
        done.set_result(result)


def _fail(done: "asyncio.Future[Any]", error: BaseException) -> None:
    """An event loop takes only an Exception, and not every one."""
    if done.cancelled():
        return
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        error = RuntimeError(f"The form ended with {type(error).__name__}.")
    done.set_exception(error)


def _look_at(done: "asyncio.Future[Any]") -> None:
    """Ignore the error of an abandoned form."""
    if not done.cancelled():
        done.exception()


async def _form_threads(connection: HTTPConnection) -> FormThreads:
    """The threads of the application, made by the first request, in its event loop.

    The database is prepared first, because that may take longer than a form may.
    """
    state = connection.app.state
    if not hasattr(state, "form_threads"):
        await run_in_threadpool(lambda: state.processes.database)
    if not hasattr(state, "form_threads"):
        state.form_threads = FormThreads(state.settings.form_timeout_seconds)
    threads: FormThreads = state.form_threads
    return threads


FormThreadsDep = Annotated[FormThreads, Depends(_form_threads)]
