"""The wheel as others install it: built once for a run of the tests, in an environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.architecture import FLOORS, ROOT

SOURCES = (*FLOORS, "setup.py", "pyproject.toml", "README.md", "LICENSE")
STEERING = ("DATABASE_URI", "DAGSTER_DATABASE_URI", "DAGSTER_HOME", "ORCHESTRATOR_HOME", "NETBOX_URL", "PLAYBOOK_URL")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info")


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead to this checkout or to a database."""
    steered = {*STEERING, "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {key: value for key, value in os.environ.items() if key not in steered} | more


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network from a copy, so that the checkout's own installation is left alone."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=NOT_SHIPPED)
        else:
            shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, source, cwd=target)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment whose project comes from the wheel and whose dependencies are this environment's.

    The other environment's own .pth files are not read, so an editable installation there is not seen.
    """
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv)
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin" / "python")
    run(*pip, "install", "--no-deps", "--no-index", "--no-compile", wheel, cwd=venv)
    (site_packages,) = venv.glob("lib/python*/site-packages")
    site_packages.joinpath("dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for module in ("pip", "pytest"):  # they are in the other environment, and so are their commands
        command = venv / "bin" / module
        command.write_text(f'#!/bin/sh\nexec {venv}/bin/python -m {module} "$@"\n')
        command.chmod(0o755)
    return venv / "bin"
