"""The environment, read once; names as in orchestrator-core where they exist there."""

import os
from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources.errors import SettingsError

PROJECT_MARKERS = ("dagster.yaml", "workspace.yaml")


class Settings(BaseSettings):
    """Everything that the environment decides. Each field's description is its documentation."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False)

    database_uri: SecretStr | None = Field(
        None, description="PostgreSQL to use (postgresql://user:password@host/name); the embedded one when not set"
    )
    dagster_database_uri: SecretStr | None = Field(
        None, description="PostgreSQL for Dagster's storage; the same server, database `<name>_dagster`, when not set"
    )
    orchestrator_home: Path | None = Field(
        None, description="directory of the embedded data; `.orchestrator` of the project's folder when not set"
    )
    database_pool_size: int = Field(5, ge=1, description="connections that one process keeps open")
    netbox_url: str | None = Field(None, description="NetBox to use; the lab's when not set")
    netbox_token: SecretStr = Field(SecretStr("lab"), description="API token for NetBox")
    playbook_url: str | None = Field(None, description="playbook runner to use; the lab's when not set")
    playbook_token: SecretStr = Field(SecretStr("lab"), description="bearer token for the playbook runner")
    default_customer_identifier: str = Field(
        "59289a57-70fb-4ff5-9c93-10fe67b12434", description="id of the default customer"
    )

    @property
    def home(self) -> Path:
        """Where embedded data may live: ORCHESTRATOR_HOME, else `.orchestrator` beside the project's dagster.yaml."""
        return self.orchestrator_home or project_folder() / ".orchestrator"


def project_folder() -> Path:
    """DAGSTER_HOME, else the nearest folder at or above the working directory that has a dagster.yaml, else that."""
    if dagster_home := os.environ.get("DAGSTER_HOME"):
        return Path(dagster_home).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / marker).is_file() for marker in PROJECT_MARKERS):
            return folder
    return here


@cache
def settings() -> Settings:
    """The settings of this process.

    Raises SettingsError naming each unusable variable. Tests call `settings.cache_clear()` after changing one.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"The environment cannot be used: {faults}.") from None
