"""The environment, read once; names as in orchestrator-core where they exist there."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources import secrecy
from resources.errors import SettingsError
from resources.users import Role

PROJECT_MARKERS = ("dagster.yaml", "workspace.yaml")
DATA = ".orchestrator"
ADDRESS = "up.address"
"""The file in the home with the address of `orchestrator up` and its process, while that runs."""


class Settings(BaseSettings):
    """All settings. The description of each field is its documentation."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False)

    database_uri: SecretStr | None = Field(
        None, description="PostgreSQL to use (postgresql://user:password@host/name); the embedded one when not set"
    )
    dagster_database_uri: SecretStr | None = Field(
        None, description="PostgreSQL for Dagster's storage; the same server, database `<name>_dagster`, when not set"
    )
    orchestrator_home: Path | None = Field(
        None,
        description="directory of the embedded data; when not set `.orchestrator` in DAGSTER_HOME, else in the project",
    )
    database_pool_size: int = Field(5, ge=1, description="connections that one process keeps open")
    recovery_attempts: int = Field(
        3, ge=0, description="how often a process whose run was lost is continued automatically before it fails"
    )
    abort_grace_seconds: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="how long the step of an aborted process may take to end before its process is killed",
    )
    netbox_url: str | None = Field(None, description="NetBox to use; when not set the lab, on the embedded database")
    netbox_token: SecretStr = Field(SecretStr("lab"), description="API token for NetBox")
    playbook_url: str | None = Field(None, description="playbook runner to use; when not set the lab, as for NetBox")
    playbook_token: SecretStr = Field(SecretStr("lab"), description="bearer token for the playbook runner")
    base_url: str = Field(
        "http://localhost:8080", description="where people and other systems reach the server; callbacks go there"
    )
    commit_hash: str | None = Field(
        None, max_length=64, description="version of the code, kept with each step; read from git when not set"
    )
    workflow_roles: dict[str, Role] = Field(
        {}, description="pattern of workflow names to the least role that may start them or act on theirs, as JSON"
    )
    run_retention_days: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {"*": 90},
        description="pattern of workflow, or workflow:outcome, to the days that Dagster's runs are kept, as JSON",
    )
    tracing_enabled: bool = Field(False, description="write traces of OpenTelemetry; needs the extra `otel`")
    history_retention_days: int = Field(
        90, ge=1, description="results of validations and checks, and fired times, are deleted after so many days"
    )
    schedule_rights_days: int | None = Field(
        None,
        ge=1,
        description="a schedule starts nothing when its user's roles were recorded longer ago; never if not set",
    )
    task_log_retention_days: int = Field(3, ge=0, description="completed tasks are deleted after so many days")
    validate_out_of_sync_subscriptions: bool = Field(
        False, description="validate also subscriptions that are out of sync by something else than a validation"
    )
    validate_within_hours: float = Field(
        24,
        gt=0,
        le=87_600,
        description="how old a last validation may be; a product may declare another age",
    )
    validate_drifted_after_minutes: float = Field(
        60,
        gt=0,
        le=525_600,
        description="when what has drifted, or could not be validated, is validated again",
    )
    validate_unreachable_after_minutes: float = Field(
        5,
        gt=0,
        le=525_600,
        description="when it is tried again after no answer, or while a process holds it",
    )
    validation_minimum_age_minutes: float = Field(
        1, ge=0, le=525_600, description="how old a result is at least before the same subscription is validated again"
    )
    validation_batches: int = Field(2, ge=1, description="how many batches of validations are unfinished at any time")
    validation_batch_size: int = Field(500, ge=1, description="how many subscriptions one batch validates")
    validation_threads: int = Field(8, ge=1, le=64, description="how many subscriptions a batch validates at once")
    validations_per_system: dict[str, int] = Field(
        {}, description="resource name to how many subscriptions that need it batches have claimed at once, as JSON"
    )
    validations_at_once: int = Field(
        20, ge=1, description="how many validations that need a process of their own are unfinished at any time"
    )
    report_assets: bool = Field(
        True, description="report to Dagster's assets what processes change and how products stand"
    )
    slack_engine_settings_hook_enabled: bool = Field(
        False, description="notify a Slack channel when the engine is paused or released"
    )
    slack_engine_settings_hook_url: SecretStr = Field(SecretStr(""), description="incoming webhook of that channel")
    default_customer_identifier: str = Field(
        "59289a57-70fb-4ff5-9c93-10fe67b12434", description="id of the default customer"
    )
    default_customer_fullname: str = Field("Default customer", description="name of the default customer in lists")
    default_customer_shortcode: str = Field("default", description="the short name of the default customer")
    disable_insync_check: bool = Field(
        False, description="put subscriptions in sync on request even while processes that changed them are unfinished"
    )

    @property
    def home(self) -> Path:
        """The folder of embedded data: ORCHESTRATOR_HOME, else `.orchestrator` in DAGSTER_HOME or the project's folder.

        With DAGSTER_HOME it does not depend on the working directory. Raises SettingsError when there is no such
        folder: a database made by mistake would look like one whose subscriptions are lost.
        """
        if self.orchestrator_home:
            return self.orchestrator_home
        folder = dagster_home() or project_folder()
        if folder is None and self.database_uri is None:
            raise SettingsError(
                f"There is no {PROJECT_MARKERS[0]} in {Path.cwd()} or above it; run this in the project's folder,"
                " or set ORCHESTRATOR_HOME or DATABASE_URI."
            )
        return (folder or Path.cwd()) / DATA


def project_folder() -> Path | None:
    """The nearest folder at or above the working directory that has a dagster.yaml or a workspace.yaml."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / marker).is_file() for marker in PROJECT_MARKERS):
            return folder
    return None


def dagster_home() -> Path | None:
    """DAGSTER_HOME, when it is set."""
    named = os.environ.get("DAGSTER_HOME")
    return Path(named).expanduser().resolve() if named else None


@cache
def settings() -> Settings:
    """The settings of this process.

    Raises SettingsError naming each unusable variable. Tests call `settings.cache_clear()` after changing one.
    """
    try:
        found = Settings()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"The environment cannot be used: {faults}.") from None
    for name in ("netbox_token", "playbook_token", "slack_engine_settings_hook_url"):
        secrecy.remember(getattr(found, name).get_secret_value())
    return found


def default_customer_id() -> str:
    """The customer that forms propose: DEFAULT_CUSTOMER_IDENTIFIER."""
    return settings().default_customer_identifier


def public_url(path: str) -> str:
    """The address at which other systems reach a path of the server, such as the route of a callback.

    Without BASE_URL that is the address of the `orchestrator up` which runs in this project, on whatever port.
    """
    found = settings()
    known = found.base_url if "base_url" in found.model_fields_set else address_of_up() or found.base_url
    return f"{known.rstrip('/')}{path}"


def address_of_up() -> str | None:
    """Where `orchestrator up` of this project serves, if it runs: it keeps its address and process there."""
    with suppress(SettingsError, OSError, ValueError):
        address, _, pid = (settings().home / ADDRESS).read_text().partition(" ")
        os.kill(int(pid), 0)
        return address
    return None
