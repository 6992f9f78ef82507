"""The settings that the server shows to authorised users, without secrets."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Secret, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python
from pydantic_settings import BaseSettings

from orchestrator_defs.api.server_settings import ApiSettings
from resources.settings import settings

MASK = "**********"
IN_ADDRESS = re.compile(r"(://[^:/@\s]*):\S*@")
"""The password in a URL; an unencoded one may contain any character."""
IN_TEXT = re.compile(r"\b(\w*(?:password|secret|token|api_?key))=[^&;\s]+", re.IGNORECASE)
"""The password in the query of a URL, or in PostgreSQL's key=value form."""
SECRET_NAME = re.compile("password|secret|token(?!_url)|api_key|private_key|credential", re.IGNORECASE)
LOGIN = re.compile("oauth2_|oidc_|opa_|session_|serve_without_login", re.IGNORECASE)
"""The names of settings that EXPOSE_OAUTH_SETTINGS shows."""


@dataclass(frozen=True, slots=True)
class ExposedSetting:
    """One variable, as JSON; a secret is masked."""

    env_name: str
    env_value: Any


_exposed: dict[str, BaseSettings] = {}


def expose_settings(name: str, own: BaseSettings) -> None:
    """Show an organisation's own settings under a name. Calling it again replaces them."""
    _exposed[name] = own


def exposed_settings(known: ApiSettings) -> Mapping[str, list[ExposedSetting]]:
    """All settings that may be shown, by group; empty groups are left out."""
    groups: dict[str, list[ExposedSetting]] = {}
    if known.expose_settings:
        groups["engine"] = list(_shown(settings()))
        groups["server"] = [one for one in _shown(known) if not LOGIN.match(one.env_name)]
    if known.expose_oauth_settings:
        groups["login"] = [one for one in _shown(known) if LOGIN.match(one.env_name)]
    groups |= {name: list(_shown(own)) for name, own in _exposed.items()}
    return {name: found for name, found in groups.items() if found}


def _shown(known: BaseSettings) -> Iterator[ExposedSetting]:
    prefix = known.model_config.get("env_prefix") or ""
    for name in type(known).model_fields:
        value = getattr(known, name)
        is_secret = bool(SECRET_NAME.search(name)) and not isinstance(value, bool | int | float | None)
        yield ExposedSetting(f"{prefix}{name}".upper(), MASK if is_secret and value else _masked(value))


def _masked(value: Any) -> Any:
    """As JSON, with secrets masked at any depth."""
    match value:
        case Secret() | SecretStr() | SecretBytes():
            return MASK if value.get_secret_value() else ""
        case Mapping():
            return {
                str(key): MASK if SECRET_NAME.search(str(key)) and item else _masked(item)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_masked(item) for item in value]
    if not isinstance(value, str):
        value = to_jsonable_python(value, fallback=str)
    if isinstance(value, Mapping | list):
        return _masked(value)
    if not isinstance(value, str):
        return value
    return IN_TEXT.sub(rf"\1={MASK}", IN_ADDRESS.sub(rf"\1:{MASK}@", value))
