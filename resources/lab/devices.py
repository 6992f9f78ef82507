"""The lab's devices: how each playbook changes the configuration of the devices that it names."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

from resources.lab.refusals import RefusedError

Config: TypeAlias = dict[str, Any]
Configs: TypeAlias = dict[str, Config]
Variables: TypeAlias = Mapping[str, Any]

CORE_LINK = "core_link"
"""The part of an interface that belongs to the core link over it, and not to the port."""


def empty_config() -> Config:
    """The configuration of a device before any playbook."""
    return {"system": {}, "interfaces": {}, "services": {}}


def rendered(playbook: str, variables: Variables, configs: Configs) -> Configs:
    """The configurations of all devices after the playbook; `configs`, the present ones, do not change.

    404 for an unknown playbook, 400 for a missing variable.
    """
    if playbook not in PLAYBOOKS:
        raise RefusedError(404, {"detail": f"No playbook {playbook!r}; there are: {', '.join(sorted(PLAYBOOKS))}."})
    wanted = deepcopy(configs)
    PLAYBOOKS[playbook](wanted, variables)
    return wanted


def differences(expected: Any, actual: Any, path: str = "") -> list[dict[str, Any]]:
    """The differences of two configurations: path of keys and positions, joined by dots; None for a missing value."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        keys = list(dict.fromkeys([*expected, *actual]))
        return [one for key in keys for one in differences(expected.get(key), actual.get(key), _below(path, key))]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [one for position, pair in pairs for one in differences(*pair, _below(path, position))]
    return [] if expected == actual else [{"path": path, "expected": expected, "actual": actual}]


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _provision_node(configs: Configs, variables: Variables) -> None:
    _device(configs, variables)["system"] = _without(variables, "device")


def _deprovision_node(configs: Configs, variables: Variables) -> None:
    configs.pop(_text(variables, "device"), None)


def _configure_port(configs: Configs, variables: Variables) -> None:
    """Configure a port; the part of a core link on the interface stays."""
    interfaces = _device(configs, variables)["interfaces"]
    name = _text(variables, "interface")
    link = {key: value for key, value in interfaces.get(name, {}).items() if key == CORE_LINK}
    interfaces[name] = _without(variables, "device", "interface") | link


def _deprovision_port(configs: Configs, variables: Variables) -> None:
    _device(configs, variables)["interfaces"].pop(_text(variables, "interface"), None)


def _configure_core_link(configs: Configs, variables: Variables) -> None:
    link = _text(variables, "link")
    for end in _list(variables, "ends"):
        interfaces = _device(configs, end)["interfaces"]
        interface = interfaces.setdefault(_text(end, "interface"), {})
        interface[CORE_LINK] = {"name": link, **_without(end, "device", "interface")}


def _deprovision_core_link(configs: Configs, variables: Variables) -> None:
    for end in _list(variables, "ends"):
        interfaces = _device(configs, end)["interfaces"]
        interface = interfaces.get(_text(end, "interface"), {})
        interface.pop(CORE_LINK, None)
        if not interface:
            interfaces.pop(end["interface"], None)


def _configure_l2vpn(configs: Configs, variables: Variables) -> None:
    _deprovision_l2vpn(configs, variables)
    common = _without(variables, "service", "endpoints")
    for endpoint in _list(variables, "endpoints"):
        services = _device(configs, endpoint)["services"]
        service = services.setdefault(_text(variables, "service"), {**common, "endpoints": []})
        service["endpoints"].append(_without(endpoint, "device"))


def _deprovision_l2vpn(configs: Configs, variables: Variables) -> None:
    service = _text(variables, "service")
    for config in configs.values():
        config["services"].pop(service, None)


PLAYBOOKS: dict[str, Callable[[Configs, Variables], None]] = {
    "provision_node": _provision_node,
    "deprovision_node": _deprovision_node,
    "configure_port": _configure_port,
    "deprovision_port": _deprovision_port,
    "configure_core_link": _configure_core_link,
    "deprovision_core_link": _deprovision_core_link,
    "configure_l2vpn": _configure_l2vpn,
    "deprovision_l2vpn": _deprovision_l2vpn,
}

CHECKS = {
    "check_node": "provision_node",
    "check_port": "configure_port",
    "check_core_link": "configure_core_link",
    "check_l2vpn": "configure_l2vpn",
}
"""Playbooks that change nothing -> the playbook whose result they check."""


def _device(configs: Configs, variables: Variables) -> Config:
    return configs.setdefault(_text(variables, "device"), empty_config())


def _text(variables: Variables, name: str) -> str:
    value = variables.get(name)
    if not isinstance(value, str) or not value:
        raise RefusedError(400, {"extra_vars": {name: ["This variable is required, as text."]}})
    return value


def _list(variables: Variables, name: str) -> list[Variables]:
    value = variables.get(name)
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise RefusedError(400, {"extra_vars": {name: ["This variable is required, as a list of mappings."]}})
    return value


def _without(variables: Variables, *names: str) -> Config:
    return {name: deepcopy(value) for name, value in variables.items() if name not in names}
