"""The errors of those whose project or product cannot be written."""

from resources.errors import OrchestratorError

Place = tuple[str | int, ...]
"""Where something stands in a file: keys, and positions in lists from 0."""


class ScaffoldingError(OrchestratorError):
    """What is asked for cannot be written; the message says what can."""


class Fault(Exception):
    """Something in the description of a product; the message goes on from its place: `has no name.`"""

    def __init__(self, path: Place, message: str) -> None:
        super().__init__(message)
        self.path = path
