"""The lab's error answers, in the shapes that NetBox uses."""

from typing import Any


class RefusedError(Exception):
    """An error answer: its status and its JSON."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status}: {body}")


def bad_field(field: str, message: str) -> RefusedError:
    """400, because of a field."""
    return RefusedError(400, {field: [message]})


def bad_object(message: str) -> RefusedError:
    """400, because of several fields together."""
    return RefusedError(400, {"__all__": [message]})


def not_found() -> RefusedError:
    """404."""
    return RefusedError(404, {"detail": "Not found."})


def conflict(message: str) -> RefusedError:
    """409: the same request may work at another time."""
    return RefusedError(409, {"detail": message})
