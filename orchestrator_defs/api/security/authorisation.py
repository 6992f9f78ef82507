"""What the middleware needs to decide about a call: login, policy, rules, counts."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from ops.starting.permission import check_role
from orchestrator_defs.api.security.access_rules import Call, Open, Policy, RolePolicy, Rule, RuleBook
from orchestrator_defs.api.security.limits import RateLimit
from orchestrator_defs.api.security.login.identity import user_of
from orchestrator_defs.api.security.login.provider import Provider, check_configured
from orchestrator_defs.api.security.login.sessions import Sessions
from orchestrator_defs.api.security.login.tokens import Tokens
from orchestrator_defs.api.security.opa import OpaPolicy
from orchestrator_defs.api.server_settings import ApiSettings
from resources.users import User


class Authorisation:
    """One for each application. Raises SettingsError when a login is required and no provider is named."""

    def __init__(self, settings: ApiSettings, *, policy: Policy | None = None, rules: Sequence[Rule] = ()) -> None:
        if settings.oauth2_active:
            check_configured(settings)
        self.settings = settings
        self.provider = Provider(settings)
        self.tokens = Tokens(settings, self.provider)
        self.sessions = Sessions(settings, self.provider, self.tokens)
        self.policy: Policy = policy or (OpaPolicy(settings) if settings.opa_url else RolePolicy())
        self.rules = RuleBook(rules)
        self.callbacks = RateLimit(settings.callbacks_per_minute)

    async def close(self) -> None:
        """Close the connections to provider and policy agent."""
        await self.provider.close()
        await self.policy.close()

    async def refusal(self, user: User, call: Call) -> str | None:
        """Why a user may not make a call, None if they may: the one place that asks the policy.

        Raises PolicyUnavailable.
        """
        is_asked = self.settings.oauth2_active and self.settings.oauth2_authorization_active
        if isinstance(call.least, Open) or not is_asked:
            return None
        return await self.policy.refusal(user, call)

    async def user_with(self, token: str, address: str = "") -> User:
        """The user of a bearer token from an address. Raises as `Tokens.claims`."""
        return user_of(await self.tokens.claims(token, address), self.settings)

    def workflow_check(self, connection: HTTPConnection) -> Callable[[str, str], None]:
        """A function that checks whether the user of a request may do something (a verb) with a workflow (its name).

        It raises NotAuthorised.
        """
        user: User = connection.scope["user"]
        return lambda workflow_name, action: check_role(workflow_name, user, action)


async def _authorisation(connection: HTTPConnection) -> Authorisation:
    found: Authorisation = connection.app.state.authorisation
    return found


AuthorisationDep = Annotated[Authorisation, Depends(_authorisation)]
"""The authorisation of the application, for routes that check more than the call itself."""
