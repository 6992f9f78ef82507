"""The report of an import: how many of each kind came over, and what did not fit, with ids and reasons."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

MOST_KEPT = 1000
"""The report itself keeps so many findings of a kind; a file has all."""


class Outcome(StrEnum):
    """What became of a product, subscription or process of the source."""

    IMPORTED = "imported"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DIFFERS = "differs"
    """It is here already, and not equal; nothing was written."""
    LEFT_OUT = "left out"
    PART_LEFT_OUT = "part left out"
    """It came over, but not all of it."""
    ENDED = "ended"
    """A process that was not finished: it is here as aborted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not here as it is there: `kind` is product, workflow, subscription or process."""

    kind: str
    id: str
    outcome: Outcome
    reason: str


@dataclass
class Report:
    """What an import did, or would do; `record` gets each finding when it is made."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: {"subscription": Counter(), "process": Counter()})
    findings: list[Finding] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    record: Callable[[Finding], object] = lambda _: None

    def count(self, kind: str, outcome: Outcome, number: int = 1) -> None:
        """Count subscriptions or processes with an outcome that needs no words."""
        self.counts[kind][outcome.value] += number

    def tell(self, kind: str, key: object, outcome: Outcome, reason: str) -> None:
        """Add a finding; a subscription or process is counted, unless only a part of it is left out."""
        finding = Finding(kind, str(key), outcome, reason)
        self.record(finding)
        if kind in self.counts and outcome is not Outcome.PART_LEFT_OUT:
            self.count(kind, outcome)
        self.told[kind] += 1
        if self.told[kind] <= MOST_KEPT:
            self.findings.append(finding)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON."""
        more = self.told.total() - len(self.findings)
        counts = {kind: dict(each) for kind, each in self.counts.items()}
        found = {"counts": counts, "findings": [asdict(each) for each in self.findings]}
        return found | ({"more_findings": more} if more else {})


def line_of(finding: Finding) -> str:
    """A finding as a line of a file of JSON lines."""
    return json.dumps(asdict(finding), ensure_ascii=False) + "\n"
