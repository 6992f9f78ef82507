"""A channel of Redis between all servers, on which other programs may publish too."""

import asyncio
import importlib
import logging
from collections.abc import AsyncGenerator
from typing import Any

from resources.errors import SettingsError

log = logging.getLogger(__name__)

SCHEMES = ("redis://", "rediss://")
CHANNEL = "events"
"""The name that orchestrator-core uses, too."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts to connect again; each pause is twice the one before."""
PING_SECONDS = 15.0
"""How often a silent connection is tested."""
CONNECT_SECONDS = 5.0


class RedisChannel:
    """The channel at `url`. Raises SettingsError when the client library is not installed or the URL cannot be read."""

    def __init__(self, url: str) -> None:
        # Installed by an extra, because only servers with Redis need it.
        try:
            client: Any = importlib.import_module("redis.asyncio")
            no_backoff = importlib.import_module("redis.backoff").NoBackoff()
            retry = importlib.import_module("redis.asyncio.retry").Retry(no_backoff, 0)
            self._connection_errors = (importlib.import_module("redis.exceptions").RedisError, OSError, TimeoutError)
        except ModuleNotFoundError as error:
            raise SettingsError(
                "WEBSOCKET_BROADCASTER_URL names Redis, and its client is not installed."
                " Install it with `pip install 'dagster-service-orchestrator[redis]'`, or unset the variable."
            ) from error
        # A lost connection must be noticed here: one that the client reopens silently has missed messages.
        timeouts = {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": CONNECT_SECONDS}
        try:
            self._client = client.from_url(url, retry=retry, socket_keepalive=True, **timeouts)
        except ValueError:
            raise SettingsError(
                "WEBSOCKET_BROADCASTER_URL cannot be read; expected redis://host:port/number."
            ) from None
        self._is_disconnected = False

    async def publish(self, text: str) -> bool:
        """Publish a message; False when Redis is away, and then servers may have missed it."""
        try:
            try:
                await self._client.publish(CHANNEL, text)
            except self._connection_errors:  # a connection of the pool that Redis has closed since
                await self._client.publish(CHANNEL, text)
        except self._connection_errors as error:
            self._log_lost(error)
            return False
        return True

    async def messages(self) -> AsyncGenerator[str | None]:
        """Yield the messages from now on. Never ends, and raises nothing when Redis is away.

        None comes first, and whenever a lost connection is restored: messages may have been missed.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    async for message in _received(channel):
                        pause = FIRST_PAUSE
                        if message["type"] == "subscribe":
                            self._log_restored()
                            yield None
                        elif message["type"] == "message":
                            yield bytes(message["data"]).decode(errors="replace")
            except self._connection_errors as error:
                self._log_lost(error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _log_lost(self, error: BaseException) -> None:
        if not self._is_disconnected:
            self._is_disconnected = True
            log.warning("Live updates wait for Redis: %s", " ".join(str(error).split()) or type(error).__name__)

    def _log_restored(self) -> None:
        if self._is_disconnected:
            self._is_disconnected = False
            log.warning("Live updates continue: Redis answers again.")


async def _received(channel: Any) -> AsyncGenerator[dict[str, Any]]:
    """Yield all messages of a connection. Raises TimeoutError when it stays silent after a ping."""
    while True:
        message = await channel.get_message(timeout=PING_SECONDS)
        if message is None:
            await channel.ping()
            message = await channel.get_message(timeout=CONNECT_SECONDS)
            if message is None:
                raise TimeoutError("Redis does not answer")
        yield message
