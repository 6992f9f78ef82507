"""The clients of one server, and the messages that wait for each."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from orchestrator_defs.api.updates.messages import Kind, Message
from orchestrator_defs.api.updates.pacing import Pacer

LIMIT = 100
"""The most messages that wait for a slow client; more become one for each kind."""


class Client:
    """A connected client. `kinds`: the kinds that it wants; with None all, and messages of other programs."""

    def __init__(self, kinds: Collection[Kind] | None = None) -> None:
        self._kinds = kinds
        self._waiting: dict[Message | str, None] = {}
        self._ready = asyncio.Event()
        self.is_lost = False
        """Whether it was so slow that it has missed something: it is disconnected, to begin again."""

    def put(self, message: Message | str) -> None:
        """Queue a message, unless the same one waits already. Never blocks."""
        kind = message.kind if isinstance(message, Message) else None
        if self._kinds is not None and kind not in self._kinds:
            return
        self._waiting[message] = None
        if len(self._waiting) > LIMIT:
            self._fold()
        self._ready.set()

    def _fold(self) -> None:
        self._waiting = dict.fromkeys(
            Message(message.kind) if isinstance(message, Message) else message for message in self._waiting
        )
        if len(self._waiting) > LIMIT:
            self._waiting.clear()
            self.is_lost = True

    async def take(self) -> list[Message | str]:
        """The messages to send now; waits until there are some."""
        await self._ready.wait()
        self._ready.clear()
        taken, self._waiting = list(self._waiting), {}
        return taken


class Broadcaster:
    """Sends messages to all clients of this server's event loop."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._pacer = Pacer()
        self._timer: asyncio.Handle | None = None
        self._wakes_at = 0.0

    @property
    def client_count(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    @contextmanager
    def client(self, kinds: Collection[Kind] | None = None) -> Iterator[Client]:
        """A client, connected for the block."""
        client = Client(kinds)
        self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)

    def notify(self, message: Message) -> None:
        """Report a change soon, and once more."""
        loop = asyncio.get_running_loop()
        self._pacer.notify(message, loop.time())
        due = self._pacer.next_due()
        if due is not None and (self._timer is None or due < self._wakes_at):
            self._wake_at(due)

    def pass_on(self, text: str) -> None:
        """Pass a message of another program on at once."""
        for client in self._clients:
            client.put(text)

    def close(self) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_at(self, when: float) -> None:
        self.close()
        self._wakes_at = when  # uvloop's handle does not know it when the moment is past
        self._timer = asyncio.get_running_loop().call_at(when, self._send_due)

    def _send_due(self) -> None:
        self._timer = None
        for message in self._pacer.take_due(asyncio.get_running_loop().time() + 0.001):
            for client in self._clients:
                client.put(message)
        due = self._pacer.next_due()
        if due is not None:
            self._wake_at(due)
