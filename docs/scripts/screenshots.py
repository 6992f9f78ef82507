"""Takes the pictures of the documents: `python docs/scripts/screenshots.py PYTHON` for the pages of a first hour.

It makes the project of that page in a temporary folder, starts it with the commands of PYTHON's environment, orders a
line in Dagster's page and photographs what a person sees. It needs playwright and chromium.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
CHROMIUM = "/usr/bin/chromium"
PORT = 8180
URL = f"http://127.0.0.1:{PORT}"
CONTROLLER = f"http://127.0.0.1:{PORT + 1}"
ORDER = "inputs:\n- product: Line\n- site: Utrecht\n  speed: 1000\n"


def shot(page: Page, name: str) -> None:
    """Keep what the page shows."""
    page.wait_for_timeout(1500)
    page.screenshot(path=PICTURES / f"{name}.png")


def visit(page: Page) -> None:
    """Walk through the pages in the order of a first hour."""
    job = f"{URL}/locations/acme/jobs/create_line"
    page.goto(f"{job}/playground", wait_until="networkidle")
    page.locator(".CodeMirror").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(ORDER)
    shot(page, "launchpad")
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url("**/runs/*", timeout=60_000)
    page.get_by_text("Success", exact=True).first.wait_for(timeout=60_000)
    shot(page, "run")
    (line,) = call(f"{URL}/api/subscriptions/")
    call(f"{CONTROLLER}/circuits/C-1001", {"speed": 7}, "PATCH")
    pages = [{"subscription_id": line["subscription_id"]}]
    process = call(f"{URL}/api/processes/validate_line", pages, "POST")["id"]
    page.goto(f"{URL}/runs/{process}?logs=compare_line", wait_until="networkidle")
    page.get_by_text("Failure", exact=True).first.wait_for(timeout=60_000)
    shot(page, "drift")


def call(url: str, body: Any = None, method: str = "GET") -> Any:
    """Ask the API, or the fake of the controller."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}, method=method)) as answer:
        return json.load(answer)


def wait_until_up(process: "subprocess.Popen[bytes]") -> None:
    """Until the server answers, at most two minutes."""
    for _ in range(120):
        with suppress(OSError), urlopen(f"{URL}/api/health/ready"):
            return
        if process.poll() is not None:
            break
        time.sleep(1)
    raise SystemExit("The project did not start.")


def main(python: str) -> None:
    """Make the project, start it, take the pictures, stop it."""
    programs = str(Path(python).parent)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CONTROLLER_URL": CONTROLLER}
    for name in ("DATABASE_URI", "DAGSTER_HOME", "ORCHESTRATOR_HOME"):
        environment.pop(name, None)
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        subprocess.run([f"{programs}/orchestrator", "init", "acme"], cwd=folder, env=environment, check=True)
        command = [python, "-m", "acme.fake_controller", "orchestrator", "up", "--port", str(PORT)]
        process = subprocess.Popen(command, cwd=f"{folder}/acme", env=environment, start_new_session=True)
        try:
            wait_until_up(process)
            with sync_playwright() as drivers:
                browser = drivers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                visit(browser.new_page(viewport={"width": 1200, "height": 720}))
                browser.close()
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else sys.executable)
