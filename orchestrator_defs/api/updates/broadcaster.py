"""The clients of one server, and what each of them is still to be told."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from orchestrator_defs.api.updates.messages import Kind, Message
from orchestrator_defs.api.updates.pacing import Pacer

LIMIT = 100
"""Messages that wait for one slow client; when there are more they become one for each kind."""


class Client:
    """Who is connected. `kinds`: what it wants to hear of; of everything, and what other programs say, when None."""

    def __init__(self, kinds: Collection[Kind] | None = None) -> None:
        self._kinds = kinds
        self._waiting: dict[Message | str, None] = {}
        self._ready = asyncio.Event()
        self.is_lost = False
        """Whether it is so slow that it has missed something: it has to be sent away, to begin anew."""

    def put(self, message: Message | str) -> None:
        """Have it told, unless it is about to be told the same. Never waits."""
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
        """What to tell it now; waits until there is something."""
        await self._ready.wait()
        self._ready.clear()
        taken, self._waiting = list(self._waiting), {}
        return taken


class Broadcaster:
    """Tells all clients of this server's event loop."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._pacer = Pacer()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def client_count(self) -> int:
        """How many are connected."""
        return len(self._clients)

    @contextmanager
    def client(self, kinds: Collection[Kind] | None = None) -> Iterator[Client]:
        """A client, for as long as the block lasts."""
        client = Client(kinds)
        self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)

    def notify(self, message: Message) -> None:
        """Something has changed: tell it soon, and once more."""
        loop = asyncio.get_running_loop()
        self._pacer.notify(message, loop.time())
        due = self._pacer.next_due()
        if due is not None and (self._timer is None or due < self._timer.when()):
            self._wake_at(due)

    def pass_on(self, text: str) -> None:
        """Tell at once what another program says."""
        for client in self._clients:
            client.put(text)

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_at(self, when: float) -> None:
        self.close()
        self._timer = asyncio.get_running_loop().call_at(when, self._send_due)

    def _send_due(self) -> None:
        self._timer = None
        for message in self._pacer.take_due(asyncio.get_running_loop().time() + 0.001):
            for client in self._clients:
                client.put(message)
        due = self._pacer.next_due()
        if due is not None:
            self._wake_at(due)
