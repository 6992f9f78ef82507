"""The lab's rules that delay or fail calls, kept in the database so that a command can set them."""

import re
from dataclasses import dataclass
from fnmatch import translate

import sqlalchemy as sa

from resources.lab.tables import rules


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """The effect of the rules on one event: seconds to wait, and the status to fail with, if any."""

    seconds: float = 0
    failure: int | None = None


def injected_fault(connection: sa.Connection, event: str) -> InjectedFault:
    """The effect on `METHOD /path` or `job PLAYBOOK`. Uses up one application of a rule with a number of times."""
    seconds, failure = 0.0, None
    for rule in connection.execute(sa.select(rules).order_by(rules.c.id)).all():
        if not matches(rule.pattern, event) or not _use(connection, rule.id, rule.times):
            continue
        seconds += rule.seconds
        if rule.effect == "fail" and failure is None:
            failure = rule.status
    return InjectedFault(seconds, failure)


def matches(pattern: str, event: str) -> bool:
    """Whether the pattern is found anywhere in the event; `*` and `?` are wildcards, case does not count."""
    return re.match(translate(f"*{pattern}*"), event, re.IGNORECASE) is not None


def _use(connection: sa.Connection, rule_id: int, times: int | None) -> bool:
    if times is None:
        return True
    left = sa.update(rules).where(rules.c.id == rule_id, rules.c.times > 0).values(times=rules.c.times - 1)
    return connection.execute(left).rowcount == 1
