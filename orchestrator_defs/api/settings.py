"""What the environment decides about the server; names as in orchestrator-core where they exist there."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """The settings of the server. An organisation may add its own in a subclass, and give that to `create_app`."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False)

    oauth2_active: bool = Field(True, description="whether a login is needed at all")
    oauth2_authorization_active: bool = Field(
        True, description="whether a logged-in user may only do what a policy allows"
    )
    session_secret: SecretStr | None = Field(
        None, description="signs session cookies; made anew at each start when not set"
    )
    cors_origins: str = Field("", description="origins that browsers may call from, separated by commas")
    enable_websockets: bool = Field(True, description="whether live updates are sent")
    websocket_broadcaster_url: SecretStr = Field(
        SecretStr("postgres://"), description="how updates reach the servers: the database itself, or redis://…"
    )
    form_timeout_seconds: float = Field(30, gt=0, description="how long the evaluation of a form may take")
    max_body_bytes: int = Field(1_000_000, ge=1000, description="the largest body of a request")
    environment: str = Field("local", description="what this installation is called")

    # --- what is shown, and how ---

    expose_settings: bool = Field(False, description="whether the settings can be read, with secrets masked")
    expose_oauth_settings: bool = Field(False, description="whether those of the login can be read, too")
    health_timeout_seconds: float = Field(
        3, gt=0, le=60, description="a database that has not answered by then counts as one that does not"
    )
    translations_dir: Path | None = Field(
        None, description="folder of an organisation's translations, `en-GB.json` and so on, which add to those shipped"
    )
