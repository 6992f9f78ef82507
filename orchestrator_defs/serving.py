"""The options of a server, for `python -m orchestrator_defs.api`."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

HOST, PORT = "127.0.0.1", 8080


@dataclass(frozen=True)
class Serving:
    """Where and what to serve.

    `app`: an organisation's own factory of its application, `module:function`. `definitions`: what the API serves,
    `module` or `module:attribute`; by default those of `code`. `code`: Dagster's options for code locations, by default
    those of the project. `runtime`: a folder for the sockets of the code servers and for a workspace that names these,
    by default a new one. `reports`: an open descriptor for messages to people, which `orchestrator up` reads; the
    server then has the other parts of `up` beside it. `examples`: it creates the example network.
    """

    host: str = HOST
    port: int = PORT
    workers: int = 1
    path_prefix: str = ""
    app: str | None = None
    definitions: str | None = None
    code: Mapping[str, Any] = field(default_factory=dict)
    runtime: str | None = None
    forwarded_allow_ips: str = "127.0.0.1"
    access_log: bool = False
    reports: int | None = None
    examples: bool = False

    def command(self) -> list[str]:
        """The command that serves with these options."""
        return [sys.executable, "-m", "orchestrator_defs.api", json.dumps(asdict(self))]

    @classmethod
    def from_json(cls, text: str) -> "Serving":
        """The options in a command's argument."""
        return cls(**json.loads(text))

    @property
    def address(self) -> str:
        """The URL of the server, with a slash at the end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return (
            f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}{self.path_prefix}/"
        )
