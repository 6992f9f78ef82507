"""A Slack channel that is notified when the engine is paused or released."""

import logging

from resources.errors import ExternalSystemError
from resources.settings import settings
from resources.systems.http_session import session_for

log = logging.getLogger(__name__)

TIMEOUT = 3.0
"""Seconds. The user who pauses the engine waits for this."""
ADVICE = "check SLACK_ENGINE_SETTINGS_HOOK_URL"


def notify(text: str) -> None:
    """Write a line to the channel of the settings, if there is one. A failure is only logged."""
    known = settings()
    url = known.slack_engine_settings_hook_url.get_secret_value()
    if not (known.slack_engine_settings_hook_enabled and url):
        return
    try:
        answer = session_for("Slack", url, ADVICE, TIMEOUT).post(url, json={"text": text}, allow_redirects=False)
    except (ExternalSystemError, ValueError) as error:
        # The address is secret: everybody who knows it may write.
        log.warning("Slack was not notified (%s): %s", type(error).__name__, text)
        return
    if not answer.ok:
        log.warning("Slack was not notified, it answered %s; %s: %s", answer.status_code, ADVICE, text)
