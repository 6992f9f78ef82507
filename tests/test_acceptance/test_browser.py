"""A person before the screen: Debian's chromium, a login, Dagster's page, a launch, and its success."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.ports import free_port
from tests.test_acceptance.conftest import Project, fresh_home
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

CHROMIUM = shutil.which("chromium")
SCREEN = {"width": 1400, "height": 900}
NODE = {"node_name": "ams8", "site": "Amsterdam", "role": "Provider edge", "device_type": "8201"}
PROVIDER = """
import sys, time
from oidc_provider_mock import User, run_server_in_thread
people = [User(sub=name, claims={"preferred_username": name, "roles": [role]}) for name, role in PEOPLE.items()]
with run_server_in_thread(int(sys.argv[1]), user_claims=people):
    time.sleep(3600)
"""
PEOPLE = {"erin": "engineer", "vic": "viewer"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here; on Debian `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """An identity provider that knows two people; the address of its issuer."""
    port = free_port()
    script = PROVIDER.replace("PEOPLE", repr(PEOPLE))
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", script, str(port)], stderr=subprocess.DEVNULL)
    try:
        issuer = f"http://localhost:{port}"
        eventually(lambda: _answers(f"{issuer}/.well-known/openid-configuration"), "the identity provider")
        yield issuer
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def site(provider: str) -> Iterator[str]:
    """The server with its login, under a path prefix; its address."""
    port = free_port()
    address = f"http://localhost:{port}/orc"
    login = {
        "OIDC_BASE_URL": provider,
        "OAUTH2_RESOURCE_SERVER_ID": "orchestrator",
        "OAUTH2_RESOURCE_SERVER_SECRET": "a secret",
    }
    with fresh_home() as home:
        project = Project(home)
        words = ("orchestrator", "serve", "--port", str(port), "--path-prefix", "/orc")
        with project.service(*words, **login) as process:
            eventually(lambda: process.poll() is not None or _answers(f"{address}/api/health/live"), "the server")
            assert process.poll() is None, (home / "orchestrator.log").read_text()[-3000:]
            yield address
        project.wait_until_left()


@contextmanager
def logged_in(browser: Browser, site: str, name: str, pictures: Path) -> Iterator[Page]:
    """Open the site, log in at the provider as one of its people, and come back."""
    context = browser.new_context(viewport=SCREEN)
    context.set_default_timeout(GENEROUS_SECONDS * 1000)
    page = context.new_page()
    page.goto(f"{site}/")
    expect(page.get_by_role("heading", name="Authorize Client")).to_be_visible()
    page.screenshot(path=pictures / f"login-of-{name}.png")
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_url(f"{site}/**")
    expect(page.locator('a[href="/orc/runs"]')).to_be_visible()
    page.screenshot(path=pictures / f"home-of-{name}.png")
    yield page
    context.close()


def launchpad(site: str, job: str, config: Any) -> str:
    """The address at which Dagster's launchpad opens with a run config."""
    return f"{site}/locations/orchestrator/jobs/{job}/playground/setup?config={quote(json.dumps(config))}"


def test_an_engineer_launches_a_run_and_sees_its_success(browser: Browser, site: str, tmp_path: Path) -> None:
    with logged_in(browser, site, "erin", tmp_path) as page:
        page.goto(launchpad(site, "create_node", {"inputs": [{"product": "Node Cisco"}, NODE]}))
        launch = page.get_by_role("button", name="Launch run")
        expect(launch).to_be_enabled()
        page.screenshot(path=tmp_path / "launchpad.png")
        launch.click()
        page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}"))
        expect(page.get_by_text("RUN_SUCCESS", exact=True)).to_be_visible(timeout=GENEROUS_SECONDS * 1000)
        expect(page.get_by_text("Success", exact=True).first).to_be_visible()
        page.screenshot(path=tmp_path / "run.png")
        page.get_by_role("button", name="View tags and config").click()
        expect(page.get_by_text("user: erin")).to_be_visible()
        page.screenshot(path=tmp_path / "tags.png")


def test_the_launchpad_opens_filled_in_and_does_not_launch_it(browser: Browser, site: str, tmp_path: Path) -> None:
    """First by the product, which is a choice; then in one sentence by the fields that were left as they opened."""
    with logged_in(browser, site, "erin", tmp_path) as page:
        page.goto(f"{site}/locations/orchestrator/jobs/create_node/playground")
        editor = page.locator(".CodeMirror-code").first
        expect(editor).to_contain_text("- product: <Node Cisco or Node Nokia or Node Juniper>")
        expect(editor).to_contain_text("node_name: <a host name, such as ams1>")
        expect(page.get_by_text("not in enum type create_node_product")).to_be_visible()
        expect(page.get_by_role("button", name="Launch run")).to_be_disabled()
        page.screenshot(path=tmp_path / "opened.png")
        left = {**NODE, "node_name": "<a host name, such as ams1>"}
        page.goto(launchpad(site, "create_node", {"inputs": [{"product": "Node Cisco"}, left]}))
        page.get_by_role("button", name="Launch run").click()
        expect(page.get_by_text("Page 2 of create_node is not filled in: write a value for node_name")).to_be_visible()
        page.screenshot(path=tmp_path / "refused.png")


def test_a_viewer_looks_and_has_no_button_to_launch(browser: Browser, site: str, tmp_path: Path) -> None:
    with logged_in(browser, site, "vic", tmp_path) as page:
        refused: list[str] = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        page.goto(launchpad(site, "create_node", {}))
        expect(page.get_by_role("tab", name="Launchpad")).to_be_disabled()
        expect(page.get_by_role("heading", name="create_node")).to_be_visible()
        page.screenshot(path=tmp_path / "job-of-vic.png")
        expect(page.get_by_role("button", name="Launch run")).not_to_be_visible()
        assert refused == []


def test_the_documentation_of_the_api_renders(browser: Browser, site: str, tmp_path: Path) -> None:
    """Whole, without the internet."""
    with logged_in(browser, site, "vic", tmp_path) as page:
        page.goto(f"{site}/api/docs")
        expect(page.get_by_role("heading", name="Service orchestrator")).to_be_visible()
        page.screenshot(path=tmp_path / "docs.png")


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as answer:
            return bool(answer.status < 500)
    except URLError as error:
        return getattr(error, "code", 500) < 500
    except OSError:
        return False
