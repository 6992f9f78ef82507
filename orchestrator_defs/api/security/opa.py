"""A policy that an Open Policy Agent decides, called as in orchestrator-core."""

import json
import logging
from typing import Any

import httpx

from orchestrator_defs.api.security.access_rules import WEBSOCKET, Call
from orchestrator_defs.api.security.login.provider import certificates
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import PolicyUnavailable
from resources.users import User

log = logging.getLogger(__name__)

JSON = {"Content-Type": "application/json"}


class OpaPolicy:
    """Sends the user's claims, the path, the method and the arguments to the agent, which decides."""

    def __init__(self, settings: ApiSettings) -> None:
        self.url = settings.opa_url
        self.http = httpx.AsyncClient(timeout=settings.opa_timeout_seconds, verify=certificates())

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def refusal(self, user: User, call: Call) -> str | None:
        """None when the agent allows the call. Raises PolicyUnavailable for any answer but yes and no."""
        arguments = {"path": call.path_params, "query": call.query, "json": await call.read_json()}
        method = "GET" if call.method == WEBSOCKET else call.method
        question = {**user.claims, "resource": call.path, "method": method, "arguments": arguments}
        if await self._decision(question):
            return None
        return f"The policy does not let {user} {call.method} {call.path}."

    async def _decision(self, question: dict[str, Any]) -> bool:
        try:
            answer = await self.http.post(self.url, content=json.dumps({"input": question}), headers=JSON)
            result = answer.raise_for_status().json()["result"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("The policy agent does not decide: %r", error)
            raise PolicyUnavailable("The policy agent does not answer. Try again in a moment.") from error
        allowed = result.get("allow") if isinstance(result, dict) else result
        if not isinstance(allowed, bool):
            log.warning("The policy agent answers neither yes nor no, but %r.", result)
            raise PolicyUnavailable("The policy agent's answer is neither yes nor no.")
        return allowed
