"""The sources of changes for a server: the database itself, or Redis, to which one of the servers passes them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.api.updates.broadcaster import Broadcaster
from orchestrator_defs.api.updates.cancelling import cancelled
from orchestrator_defs.api.updates.messages import EVERYTHING, Kind, Message, is_sendable, message_of, messages_of
from orchestrator_defs.api.updates.pacing import MANY
from resources.database.session import SubscriptionDatabase
from resources.errors import SettingsError
from resources.updates import redis_channel
from resources.updates.change_feed import ChangeFeed
from resources.updates.redis_channel import RedisChannel

log = logging.getLogger(__name__)

THE_DATABASE_ITSELF = ("postgres://", "postgresql://", "memory://")
COLLECT_SECONDS = 0.02
"""How long messages are collected before they are passed on."""
WORKERS_SECONDS = 10.0
"""How often clients read the workers again, whose changes cause no notification."""
RETRY_SECONDS = 1.0
"""The delay before a retry: of publishing, or after an unexpected error."""


class LiveUpdates:
    """The live updates of one server. Raises SettingsError when the settings are wrong."""

    def __init__(self, settings: ApiSettings, database: SubscriptionDatabase) -> None:
        self.is_enabled = settings.enable_websockets
        self.broadcaster = Broadcaster()
        self._feed = ChangeFeed(database)
        self._channel = _channel_of(settings.websocket_broadcaster_url.get_secret_value()) if self.is_enabled else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen and send in the block, also while database or Redis are away."""
        tasks = [asyncio.create_task(_restarting(source)) for source in self._sources()]
        try:
            yield
        finally:
            await cancelled(*tasks)
            self.broadcaster.close()
            if self._channel is not None:
                await self._channel.close()

    def _sources(self) -> list[Callable[[], Awaitable[None]]]:
        if not self.is_enabled:
            return []
        if self._channel is None:
            return [self._listen_to_database, self._refresh_workers]
        relay = _Relay(self._feed, self._channel)
        return [self._listen_to_redis, relay.listen, relay.publish, self._refresh_workers]

    async def _listen_to_database(self) -> None:
        async with aclosing(self._feed.changes()) as changes:
            async for change in changes:
                self._notify(*messages_of(change))

    async def _listen_to_redis(self) -> None:
        assert self._channel is not None, "it is one of the sources only then"
        async with aclosing(self._channel.messages()) as messages:
            async for text in messages:
                if text is None:
                    self._notify(*EVERYTHING)
                elif (message := message_of(text)) is not None:
                    self._notify(message)
                elif is_sendable(text):
                    self.broadcaster.pass_on(text)

    async def _refresh_workers(self) -> None:
        while True:
            await asyncio.sleep(WORKERS_SECONDS)
            if self.broadcaster.client_count:
                self._notify(Message(Kind.WORKER_STATUS))

    def _notify(self, *messages: Message) -> None:
        for message in messages:
            self.broadcaster.notify(message)


class _Relay:
    """Passes changes of the database on to Redis, while this server is the leader."""

    def __init__(self, feed: ChangeFeed, channel: RedisChannel) -> None:
        self._feed = feed
        self._channel = channel
        self._waiting: dict[Message, None] = {}
        self._ready = asyncio.Event()

    async def listen(self) -> None:
        """Collect changes."""
        async with aclosing(self._feed.changes(as_leader=True)) as changes:
            async for change in changes:
                self._waiting |= dict.fromkeys(messages_of(change))
                self._ready.set()

    async def publish(self) -> None:
        """Pass the changes on; EVERYTHING when some could not be passed on."""
        while True:
            await self._ready.wait()
            await asyncio.sleep(COLLECT_SECONDS)
            self._ready.clear()
            waiting, self._waiting = self._waiting, {}
            for message in _folded(waiting):
                if not await self._channel.publish(message.text):
                    self._waiting |= dict.fromkeys(EVERYTHING)
                    self._ready.set()
                    await asyncio.sleep(RETRY_SECONDS)
                    break


def _folded(messages: dict[Message, None]) -> list[Message]:
    """The same messages, but many single ones of one kind become one about all of them."""
    single = [message.kind for message in messages if not message.is_shared]
    folded = {kind for kind in single if single.count(kind) > MANY} if len(single) > MANY else set()
    return list(dict.fromkeys(Message(m.kind) if m.kind in folded else m for m in messages))


def _channel_of(url: str) -> RedisChannel | None:
    """The channel of a URL; None for the database itself."""
    if url.startswith(redis_channel.SCHEMES):
        return RedisChannel(url)
    if url and not url.startswith(THE_DATABASE_ITSELF):
        raise SettingsError(
            f"WEBSOCKET_BROADCASTER_URL begins with `{url.partition('://')[0]}`; expected {THE_DATABASE_ITSELF[0]} for"
            f" the database itself, or {redis_channel.SCHEMES[0]}host:port/number."
        )
    return None


async def _restarting(source: Callable[[], Awaitable[None]]) -> None:
    """Restart it after an error: an unexpected one must not end the updates."""
    while True:
        try:
            await source()
        except Exception:
            log.exception("Live updates are interrupted, and restart.")
        await asyncio.sleep(RETRY_SECONDS)
