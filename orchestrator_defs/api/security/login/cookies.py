"""Cookies that others cannot read, forge or use from another site."""

import hashlib
import itertools
import json
import secrets
from collections.abc import Mapping
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import HTTPConnection

from orchestrator_defs.api.security.login.origins import base_of
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import LoginRefused

HEADER = {"alg": "dir", "enc": "A256GCM", "zip": "DEF"}
LONGEST_VALUE = 3800
"""Browsers accept 4096 bytes with name and attributes; longer values need several cookies."""
MOST_PARTS = 3
"""A server accepts 16 kB of headers by default."""
LONGEST_CONTENT = 200_000
"""Before it is compressed."""
TOO_MUCH = "The identity provider sends more claims than a browser can store; configure it to send fewer."


class Vault:
    """Encrypts content for a browser to keep. Content for one purpose cannot be opened for another."""

    def __init__(self, settings: ApiSettings) -> None:
        given = settings.session_secret
        self._secret = given.get_secret_value().encode() if given else secrets.token_bytes(32)

    def key(self, purpose: str) -> bytes:
        """The key of a purpose."""
        return hashlib.blake2b(purpose.encode(), key=hashlib.sha512(self._secret).digest(), digest_size=32).digest()

    def seal(self, purpose: str, content: Mapping[str, Any]) -> str:
        """Encrypt content. Raises LoginRefused for more than could be opened again."""
        written = json.dumps(content)
        if len(written) > LONGEST_CONTENT:
            raise LoginRefused(TOO_MUCH)
        return jwe.encrypt_compact(HEADER, written, OctKey.import_key(self.key(purpose)))

    def open(self, purpose: str, sealed: str) -> dict[str, Any] | None:
        """Decrypt content; None for what this server has not sealed for the purpose."""
        try:
            opened = jwe.decrypt_compact(
                sealed, OctKey.import_key(self.key(purpose)), algorithms=["dir", "A256GCM", "DEF"]
            )
            content = json.loads(opened.plaintext or b"")
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        return content if isinstance(content, dict) else None


def is_secure(connection: HTTPConnection, settings: ApiSettings) -> bool:
    """Whether browsers reach the server by https."""
    return base_of(connection, settings.base_url).startswith("https://")


def cookie_value(connection: HTTPConnection, name: str, *, secure: bool) -> str | None:
    """The value of a cookie of ours, joined from its parts."""
    full = _full_name(name, secure=secure)
    parts = (connection.cookies.get(_part(full, number), "") for number in range(MOST_PARTS))
    return "".join(itertools.takewhile(bool, parts)) or None


def set_cookie(
    connection: HTTPConnection, name: str, value: str, *, secure: bool, seconds: float
) -> list[tuple[bytes, bytes]]:
    """The headers that store a value in a browser, and delete parts of an older, longer value.

    Raises LoginRefused for a value that is too long for browsers.
    """
    full = _full_name(name, secure=secure)
    parts = [value[start : start + LONGEST_VALUE] for start in range(0, len(value), LONGEST_VALUE)]
    if len(parts) > MOST_PARTS:
        raise LoginRefused(TOO_MUCH)
    kept = {_part(full, number): part for number, part in enumerate(parts)}
    old = [one for one in (_part(full, number) for number in range(MOST_PARTS)) if one in connection.cookies]
    return [
        _header(one, kept.get(one, ""), secure=secure, seconds=int(seconds)) for one in dict.fromkeys([*kept, *old])
    ]


def drop_cookie(connection: HTTPConnection, name: str, *, secure: bool) -> list[tuple[bytes, bytes]]:
    """The headers that delete a value in a browser."""
    return set_cookie(connection, name, "", secure=secure, seconds=0)


def _part(full_name: str, number: int) -> str:
    return f"{full_name}.{number}" if number else full_name


def _header(name: str, value: str, *, secure: bool, seconds: int) -> tuple[bytes, bytes]:
    lifetime = seconds if value else 0
    text = f"{name}={value}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
    return b"set-cookie", text.encode("ascii")


def _full_name(name: str, *, secure: bool) -> str:
    """The name with the prefix for which browsers refuse cookies of other hosts or without TLS."""
    return f"__Host-{name}" if secure else name
