"""The size of the tests of scale, as a share of the full one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scaled:
    """A share: called with a full number, it gives the number to use."""

    share: float

    def __call__(self, full: int, *, least: int = 1) -> int:
        """So much of it, and not less than the test needs to claim anything."""
        return max(least, round(full * self.share))
