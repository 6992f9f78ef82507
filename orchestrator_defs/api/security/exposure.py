"""Whether a server without login may be reached from elsewhere: only when that was said twice."""

from orchestrator_defs.api.security.login.origins import is_loopback
from orchestrator_defs.api.security.login.provider import check_configured
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import SettingsError


def check_exposure(settings: ApiSettings, host: str) -> None:
    """Call it before a server binds to an address. Raises SettingsError when that would open it to everybody, and when
    a login is asked for that nobody could pass.
    """
    if settings.oauth2_active:
        check_configured(settings)
    elif not (is_loopback(host) or settings.serve_without_login):
        raise SettingsError(
            f"Without login the server may be reached from this machine only, and {host or 'every address'} is reached"
            " from others. Bind to 127.0.0.1, or set up a login, or say it twice with OAUTH2_ACTIVE=False and"
            " SERVE_WITHOUT_LOGIN=True."
        )
