"""The settings of the server, from the environment; names as in orchestrator-core where they exist there."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from resources.users import Role

Words = Annotated[tuple[str, ...], NoDecode]
"""Words in one variable, separated by commas."""


class ApiSettings(BaseSettings):
    """The settings of the server. An organisation may add its own in a subclass, and pass that to `create_app`."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False)

    environment: str = Field("local", description="name of this installation")
    base_url: str = Field(
        "", description="address at which browsers reach the server, with its path prefix; that of the request if empty"
    )

    # --- login ---

    oauth2_active: bool = Field(True, description="whether a login is needed at all")
    serve_without_login: bool = Field(
        False, description="with OAUTH2_ACTIVE=False, serve without login on other addresses than loopback, too"
    )
    oidc_base_url: str = Field("", description="the identity provider's issuer; its discovery document lies below it")
    oidc_conf_url: str = Field("", description="the discovery document, when it is elsewhere")
    oauth2_token_url: str = Field("", description="token endpoint, when it differs from the discovery document's")
    oauth2_resource_server_id: str = Field("", description="client id of this server at the provider")
    oauth2_resource_server_secret: SecretStr = Field(
        SecretStr(""), description="secret of that client; none for a public one"
    )
    oauth2_audience: Words = Field(
        (), description="audiences a token may be for; OAUTH2_RESOURCE_SERVER_ID when not set"
    )
    oauth2_scope: str = Field("openid profile email", description="scopes of a browser's login")
    oauth2_user_claim: str = Field("preferred_username", description="the claim that names a user; `sub` without it")
    oauth2_clock_skew_seconds: float = Field(
        30, ge=0, le=600, description="how far the provider's clock may differ from ours"
    )
    oauth2_userinfo: bool = Field(
        False, description="whether to check a token that is no JWT at the provider's userinfo endpoint"
    )
    session_secret: SecretStr | None = Field(
        None, description="encrypts session cookies, at least 32 characters; a new one at each start when not set"
    )
    session_hours: float = Field(12, gt=0, le=24 * 30, description="a browser must log in again after so many hours")

    # --- what they may do ---

    oauth2_authorization_active: bool = Field(
        True, description="whether a logged-in user may only do what a policy allows"
    )
    oauth2_roles_claim: Words = Field(
        ("roles",), description="the claims with the roles, or paths such as `realm_access.roles`"
    )
    oauth2_roles: dict[str, Role] = Field(
        {}, description="the provider's names of roles to ours, as JSON; our names when not set"
    )
    workflow_roles: dict[str, Role] = Field(
        {}, description="pattern of workflow names to the least role that may start and answer them, as JSON"
    )
    opa_url: str = Field("", description="URL of an Open Policy Agent's decision, used instead of the built-in table")
    opa_timeout_seconds: float = Field(3, gt=0, description="how long the Open Policy Agent may take")

    # --- what else is kept out ---

    cors_origins: Words = Field((), description="origins that browsers may call from, separated by commas; `*` for all")
    cors_allow_methods: Words = Field(
        ("GET", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "HEAD"), description="methods they may use"
    )
    cors_allow_headers: Words = Field(
        ("Authorization", "Content-Type", "If-None-Match", "Idempotency-Key"), description="headers they may send"
    )
    cors_expose_headers: Words = Field(
        ("Cache-Control", "Content-Range", "ETag", "Location", "Retry-After"), description="headers they may read"
    )
    cors_max_age_seconds: int = Field(600, ge=0, description="how long a browser caches these permissions")
    max_body_bytes: int = Field(1_000_000, ge=1000, description="the largest body of a request")
    max_dagster_body_bytes: int = Field(
        10_000_000, ge=1000, description="the same for Dagster's page, whose run configs are large"
    )
    callbacks_per_minute: int = Field(
        120,
        ge=1,
        description="callbacks a minute from one address, and for one token, in all processes of a server",
    )

    # --- what is sent ---

    enable_websockets: bool = Field(True, description="whether live updates are sent")
    websocket_broadcaster_url: SecretStr = Field(
        SecretStr("postgres://"), description="how updates reach the servers: the database itself, or redis://…"
    )
    statement_timeout_seconds: float = Field(
        30, ge=1, description="how long a statement may take in the database before a request is answered with 503"
    )
    form_timeout_seconds: float = Field(30, gt=0, description="how long the evaluation of a form may take")
    graphql_timeout_seconds: float = Field(30, gt=0, description="how long the answer to a GraphQL query may take")
    graphql_introspection: bool = Field(True, description="whether GraphQL describes its schema to those who may ask")
    serve_graphql_ui: bool = Field(True, description="whether a browser sees GraphiQL at /api/graphql")

    # --- what is shown, and how ---

    enable_prometheus_metrics_endpoint: bool = Field(False, description="whether /api/metrics answers")
    expose_settings: bool = Field(False, description="whether the settings can be read, with secrets masked")
    expose_oauth_settings: bool = Field(False, description="whether those of the login can be read, too")
    health_timeout_seconds: float = Field(
        3, gt=0, le=60, description="how long the database may take to answer a readiness check"
    )
    translations_dir: Path | None = Field(
        None,
        description="folder with translations, `en-GB.json` and so on, which are added to the shipped ones",
    )

    @field_validator(
        "oauth2_audience",
        "oauth2_roles_claim",
        "cors_origins",
        "cors_allow_methods",
        "cors_allow_headers",
        "cors_expose_headers",
        mode="before",
    )
    @classmethod
    def _words(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(word for word in (part.strip() for part in value.split(",")) if word)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Remove the slash that people write after an origin and browsers do not."""
        return tuple(origin.rstrip("/") for origin in value)

    @field_validator("session_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("a secret must have at least 32 characters")
        return value

    @property
    def audiences(self) -> frozenset[str]:
        """The accepted audiences of tokens."""
        return frozenset(
            self.oauth2_audience or ([self.oauth2_resource_server_id] * bool(self.oauth2_resource_server_id))
        )
