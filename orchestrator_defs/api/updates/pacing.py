"""Paces messages: they are sent soon, not too often, and once more."""

import math
from dataclasses import dataclass

from orchestrator_defs.api.updates.messages import Kind, Message

TOGETHER_SECONDS = 0.05
"""Equal messages within this time are one."""
OWN_GAP_SECONDS = 0.25
"""The least time between messages about one process or subscription, after the first."""
SHARED_GAP_SECONDS = 0.75
"""The same for what all clients show: each message makes each open page read again."""
REPEAT_SECONDS = 0.75
"""So long after it was sent, each message is sent once more.

The web client loses messages in the first milliseconds after an answer, and does not poll.
"""
MANY = 20
"""More processes (or subscriptions) than this within a second become one message about all."""


@dataclass(slots=True)
class _Entry:
    """A message that is due. `is_news`: something has changed since it was sent; otherwise it is sent once more."""

    due: float
    sent: float = -math.inf
    is_new: bool = True


class Pacer:
    """The messages of one server that are due or were just sent; all times are seconds of one clock."""

    def __init__(self) -> None:
        self._entries: dict[Message, _Entry] = {}
        self._single: dict[Kind, int] = {}
        """How many of a kind's entries are about a single process or subscription."""
        self._folded: set[Kind] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def notify(self, message: Message, now: float) -> None:
        """Something has changed: send the message."""
        if message.kind in self._folded:
            message = Message(message.kind)
        elif not message.is_shared and message not in self._entries and self._single.get(message.kind, 0) >= MANY:
            self._fold(message.kind)
            message = Message(message.kind)
        entry = self._entries.get(message)
        if entry is None:
            self._put(message, _Entry(now + TOGETHER_SECONDS))
        elif not entry.is_new:
            gap = SHARED_GAP_SECONDS if message.is_shared else OWN_GAP_SECONDS
            entry.is_new, entry.due = True, max(now + TOGETHER_SECONDS, entry.sent + gap)

    def take_due(self, now: float) -> list[Message]:
        """The messages to send now."""
        due = [message for message, entry in self._entries.items() if entry.due <= now]
        for message in due:
            entry = self._entries[message]
            if entry.is_new:
                entry.is_new, entry.sent, entry.due = False, now, now + REPEAT_SECONDS
            else:
                self._remove(message)
        return due

    def next_due(self) -> float | None:
        """When the next message is due; None before the next change."""
        return min((entry.due for entry in self._entries.values()), default=None)

    def _fold(self, kind: Kind) -> None:
        """Report all of a kind together until it is quiet, with the waiting messages."""
        for message in [message for message in self._entries if message.kind is kind and message.id is not None]:
            self._remove(message)
        self._folded.add(kind)

    def _put(self, message: Message, entry: _Entry) -> None:
        self._entries[message] = entry
        if not message.is_shared:
            self._single[message.kind] = self._single.get(message.kind, 0) + 1

    def _remove(self, message: Message) -> None:
        del self._entries[message]
        if not message.is_shared:
            self._single[message.kind] -= 1
        elif message.id is None:
            self._folded.discard(message.kind)
