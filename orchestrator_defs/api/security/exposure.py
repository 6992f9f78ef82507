"""Whether a server without login may be reached from other machines: only with two settings."""

from orchestrator_defs.api.security.login.origins import is_loopback
from orchestrator_defs.api.security.login.provider import check_configured
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import SettingsError


def check_exposure(settings: ApiSettings, host: str) -> None:
    """Call it before a server binds to an address. Raises SettingsError when it would be open to everybody."""
    if settings.oauth2_active:
        check_configured(settings)
    elif not (is_loopback(host) or settings.serve_without_login):
        raise SettingsError(
            f"Without login only this machine may reach the server, and others can reach {host or 'every address'}."
            " Bind to 127.0.0.1, or set up a login, or confirm it with both OAUTH2_ACTIVE=False and"
            " SERVE_WITHOUT_LOGIN=True."
        )
