"""The messages to browsers: changes in the words of the web client."""

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from resources.updates.change_feed import Change, Subject

NAME = "invalidateCache"
LIST = "LIST"
"""The id in a message about lists of processes."""


class Kind(StrEnum):
    """What a client caches, and reads again after a message. It knows no other kinds."""

    ENGINE_STATUS = "engineStatus"
    WORKER_STATUS = "workerStatus"
    PROCESS_STATUS_COUNTS = "processStatusCounts"
    PROCESSES = "processes"
    SUBSCRIPTIONS = "subscriptions"
    SCHEDULES = "scheduledTags"  # the client's spelling
    PRODUCTS = "metadataProducts"


class Message(NamedTuple):
    """A message. Without an id it is about everything of its kind."""

    kind: Kind
    id: str | None = None

    @property
    def is_shared(self) -> bool:
        """Whether many clients show it: lists, counters, states."""
        return self.id is None or self.id == LIST

    @property
    def text(self) -> str:
        """The text to send."""
        return _text(self)


@lru_cache(maxsize=1000)
def _text(message: Message) -> str:
    value = {"type": message.kind.value} if message.id is None else {"type": message.kind.value, "id": message.id}
    return json.dumps({"name": NAME, "value": value}, separators=(",", ":"))


EVERYTHING = tuple(Message(kind) for kind in Kind)
"""Everything has to be read again."""

_SHARED: Mapping[Subject, tuple[Message, ...]] = {
    Subject.COUNTS: (Message(Kind.PROCESS_STATUS_COUNTS), Message(Kind.WORKER_STATUS)),
    Subject.ENGINE: (Message(Kind.ENGINE_STATUS),),
    Subject.SCHEDULES: (Message(Kind.SCHEDULES),),
    # Names and descriptions of products and workflows are in every list.
    Subject.CATALOGUE: (
        Message(Kind.PRODUCTS),
        Message(Kind.SCHEDULES),
        Message(Kind.SUBSCRIPTIONS),
        Message(Kind.PROCESSES),
    ),
    Subject.EVERYTHING: EVERYTHING,
}


def messages_of(change: Change) -> tuple[Message, ...]:
    """The messages for a change."""
    match change:
        case Change(Subject.PROCESS, None):
            return (Message(Kind.PROCESSES),)
        case Change(Subject.PROCESS, identifier):
            return Message(Kind.PROCESSES, LIST), Message(Kind.PROCESSES, identifier)
        case Change(Subject.SUBSCRIPTION | Subject.DETAILS, None):
            return (Message(Kind.SUBSCRIPTIONS),)
        case Change(Subject.SUBSCRIPTION, identifier):
            return Message(Kind.SUBSCRIPTIONS), Message(Kind.SUBSCRIPTIONS, identifier)
        case Change(Subject.DETAILS, identifier):
            return (Message(Kind.SUBSCRIPTIONS, identifier),)
    return _SHARED[change.subject]


def message_of(text: str) -> Message | None:
    """The message in a text; None for one of another program."""
    try:
        match json.loads(text):
            case {"name": name, "value": {"type": str(kind), "id": str(identifier)}} if name == NAME:
                return Message(Kind(kind), identifier)
            case {"name": name, "value": {"type": str(kind), **others}} if name == NAME and "id" not in others:
                return Message(Kind(kind))
    except (ValueError, RecursionError):
        pass
    return None


def is_sendable(text: str) -> bool:
    """Whether a client understands a text: `{"name": …, "value": …}`."""
    try:
        match json.loads(text):
            case {"name": str(), "value": _}:
                return True
    except (ValueError, RecursionError):
        pass
    return False
