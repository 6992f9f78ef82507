"""The origin of a request: the server's own pages, another site, or no browser at all."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import Scope

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PORTS = {"http": 80, "https": 443}


def path_of(scope: Scope) -> str:
    """The path for routes: without the prefix of the server, never empty."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    if prefix and path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
        path = path[len(prefix) :]
    return path or "/"


def base_of(connection: HTTPConnection, base_url: str = "") -> str:
    """The address of the server with its prefix, as the browser knows it, without a slash at its end."""
    if base_url:
        return base_url.rstrip("/")
    scheme = {"ws": "http", "wss": "https"}.get(connection.scope["scheme"], connection.scope["scheme"])
    host = connection.headers.get("host", "localhost")
    return f"{scheme}://{host}{connection.scope.get('root_path', '')}".rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a name or address, with or without a port, is this machine's."""
    name = name_of(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_foreign(connection: HTTPConnection, base_url: str = "", *, trusted: Collection[str] = ()) -> bool:
    """Whether a browser reports that a page of another origin sent this. Other clients report nothing.

    `friends` are origins that count as our own.
    """
    origin = connection.headers.get("origin")
    if origin is not None and origin in trusted:
        return False
    site = connection.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    return origin is not None and not _is_own(origin, connection, base_url)


def is_own(connection: HTTPConnection, base_url: str = "") -> bool:
    """Whether a browser reports that one of our own pages sent this; no report is not enough."""
    if is_foreign(connection, base_url):
        return False
    return "origin" in connection.headers or connection.headers.get("sec-fetch-site") == "same-origin"


def _is_own(origin: str, connection: HTTPConnection, base_url: str) -> bool:
    """Ignores the scheme, which a proxy that ends TLS may hide."""
    try:
        sent = urlsplit(origin)
        if sent.scheme not in ("http", "https") or not sent.hostname:
            return False
        port = sent.port or PORTS[sent.scheme]
        ours = [urlsplit(base_url)] if base_url else []
        ours.append(urlsplit(f"{sent.scheme}://{connection.headers.get('host', '')}"))
        return any(one.hostname == sent.hostname and (one.port or PORTS.get(one.scheme)) == port for one in ours)
    except ValueError:
        return False


def is_ipv6(host: str) -> bool:
    """Whether this is an IPv6 address."""
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def name_of(host: str) -> str:
    """A name or address without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") > 1:
        return host
    return host.partition(":")[0].lower().rstrip(".")
