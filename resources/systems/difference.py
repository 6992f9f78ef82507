"""A difference between what is wanted and what an external system has."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that an external system has (`actual`, None for nothing) in place of the one that is expected.

    `system` is the first part of the path if it is not given.
    """

    path: str
    expected: Any
    actual: Any
    system: str = field(default="", compare=False)
    severity: Literal["error", "warning"] = "error"

    def __post_init__(self) -> None:
        if not self.system:
            object.__setattr__(self, "system", self.path.partition(".")[0])

    @property
    def found(self) -> Any:
        """The same as `actual`, as it is called where it is kept."""
        return self.actual

    @property
    def key(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]
