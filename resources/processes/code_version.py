"""The version of the running code, for the ledger."""

import subprocess
from functools import cache
from pathlib import Path

from resources.settings import project_folder, settings

GIT_SECONDS = 2


@cache
def commit_hash() -> str | None:
    """COMMIT_HASH, else the commit of the project's folder; None where neither is known. Cached per process."""
    if named := settings().commit_hash:
        return named
    command = ["git", "-C", str(project_folder() or Path.cwd()), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):  # an image has neither git nor a checkout
        return None
    return found.stdout.strip() or None
