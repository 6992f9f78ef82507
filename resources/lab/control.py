"""Controls the lab through its database: drift, delays, failures, and a record of calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources.database.session import SubscriptionDatabase
from resources.errors import ExternalSystemError
from resources.lab.devices import empty_config
from resources.lab.inventory import Inventory
from resources.lab.runner import lock_devices, read_configs, write_config
from resources.lab.tables import calls, install, reset, rules

BY_HAND = "changed by hand"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that changed something, or tried to."""

    at: datetime
    method: str
    path: str
    idempotency_key: str | None
    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that delays or fails calls. `times` is how often it still applies, None for always."""

    effect: str
    pattern: str
    seconds: float
    status: int
    times: int | None


@dataclass(frozen=True, slots=True)
class Drift:
    """What was changed behind the orchestrator's back."""

    where: str
    before: dict[str, Any]
    after: dict[str, Any]


class LabControl:
    """The lab of one database. Every method commits; the lab's server need not run, and sees the change at once."""

    def __init__(self, database: SubscriptionDatabase) -> None:
        self.database = database
        install(database)

    def reset(self) -> None:
        """Delete everything: the first inventory again, no configured device, no rule, no recorded call."""
        reset(self.database)

    def slow(self, seconds: float, pattern: str = "", times: int | None = None) -> None:
        """Delay each answer and each job that matches (see `fail`)."""
        self._add_rule(effect="slow", pattern=pattern, seconds=seconds, times=times)

    def fail(self, pattern: str = "", *, times: int | None = None, status: int = 503) -> None:
        """Fail calls and jobs that match: `POST /api/dcim/devices`, `/api/ipam`, `/playbooks`, or `job configure_port`.

        The pattern is found anywhere in `METHOD /path` or `job PLAYBOOK`; * and ? are wildcards. A request gets
        `status`; a job ends as failed.
        """
        self._add_rule(effect="fail", pattern=pattern, times=times, status=status)

    def heal(self) -> None:
        """Delete all rules."""
        with self.database.engine.begin() as connection:
            connection.execute(sa.delete(rules))

    def rules(self) -> list[Rule]:
        """The rules that can still apply, oldest first."""
        query = sa.select(rules).where(sa.or_(rules.c.times.is_(None), rules.c.times > 0)).order_by(rules.c.id)
        with self.database.engine.connect() as connection:
            return [
                Rule(row.effect, row.pattern, row.seconds, row.status, row.times) for row in connection.execute(query)
            ]

    def calls(self, limit: int = 100) -> list[Call]:
        """The last recorded calls, oldest first."""
        query = sa.select(calls).order_by(calls.c.id.desc()).limit(limit)
        with self.database.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [Call(row.at, row.method, row.path, row.idempotency_key, row.status, row.body) for row in reversed(rows)]

    def devices(self) -> dict[str, dict[str, Any]]:
        """The configuration of every device that a playbook has configured, by name."""
        with self.database.engine.connect() as connection:
            return read_configs(connection)

    def show(self, device: str) -> dict[str, Any]:
        """The configuration of one device; ExternalSystemError when no playbook has configured it."""
        configs = self.devices()
        if device not in configs:
            raise ExternalSystemError(
                f"No playbook has configured a device {device!r}; configured are: {', '.join(configs) or 'none'}."
            )
        return configs[device]

    def drift(
        self,
        device: str,
        *,
        interface: str | None = None,
        service: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Drift:
        """Change the device by hand: an interface, a service, or the first of interface, service and system.

        Without values it changes the description, and toggles an interface.
        """
        self.show(device)
        with self.database.engine.begin() as connection:
            lock_devices(connection)
            config = read_configs(connection)[device]
            section, name = _place(device, config, interface, service)
            part = config[section] if name is None else config[section][name]
            after = {**part, **(values if values else _by_hand(section, part))}
            if name is None:
                config[section] = after
            else:
                config[section][name] = after
            write_config(connection, device, config)
        return Drift(" ".join(filter(None, (device, section, name))), part, after)

    def drift_in_netbox(
        self, device: str, *, interface: str | None = None, values: Mapping[str, Any] | None = None
    ) -> Drift:
        """Change the device, or one of its interfaces, in NetBox by hand; the description without values."""
        with self.database.engine.begin() as connection:
            inventory = Inventory(connection)
            inventory.lock()
            found = inventory.with_values("dcim/devices", name=device)
            if found and interface:
                found = inventory.with_values("dcim/interfaces", device=found[0].id, name=interface)
            if not found:
                raise ExternalSystemError(f"NetBox has no {device} {interface or ''}; see `orchestrator lab devices`.")
            changes = dict(values or {"description": BY_HAND})
            after = inventory.update(found[0].kind.path, found[0].id, changes, partial=True)
        where = " ".join(filter(None, ("NetBox", device, interface)))
        return Drift(
            where, {name: found[0].data[name] for name in changes}, {name: after.data[name] for name in changes}
        )

    def wipe(self, device: str) -> None:
        """Delete the whole configuration of a device, as if it had been replaced."""
        self.show(device)
        with self.database.engine.begin() as connection:
            lock_devices(connection)
            write_config(connection, device, empty_config())

    def _add_rule(self, **values: Any) -> None:
        with self.database.engine.begin() as connection:
            connection.execute(sa.insert(rules).values(values))


def _place(
    device: str, config: Mapping[str, Any], interface: str | None, service: str | None
) -> tuple[str, str | None]:
    for section, name in (("interfaces", interface), ("services", service)):
        if name is not None and name not in config[section]:
            offered = ", ".join(config[section]) or "none"
            raise ExternalSystemError(f"{device} has no {section[:-1]} {name!r} configured; it has: {offered}.")
        if name is not None:
            return section, name
    for section in ("interfaces", "services"):
        if config[section]:
            return section, next(iter(config[section]))
    return "system", None


def _by_hand(section: str, part: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {"description": BY_HAND}
    if section == "interfaces":
        changed["enabled"] = not part.get("enabled", True)
    return changed
