"""The playbook runner and the devices, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import pytest

from resources.errors import ExternalSystemError, ExternalSystemUnavailable, PlaybookFailed
from resources.lab.testing import Lab
from resources.systems.playbooks import Difference, PlaybookRunner

PORT = {"device": "ams1", "interface": "1/1/1", "description": "customer A", "enabled": True}
LINK = {
    "link": "core 1",
    "ends": [
        {"device": "ams1", "interface": "1/4/1", "ipv4": "10.20.0.0/31"},
        {"device": "utr1", "interface": "1/4/1", "ipv4": "10.20.0.1/31"},
    ],
}
SERVICE = {
    "service": "L2VPN 1",
    "vni": 10001,
    "endpoints": [
        {"device": "ams1", "interface": "1/1/1", "vlan": 10},
        {"device": "ams1", "interface": "1/1/2", "vlan": 10},
        {"device": "utr1", "interface": "1/1/1", "vlan": 20},
    ],
}


def test_a_device_that_nobody_touched_is_empty(lab: Lab) -> None:
    assert lab.playbooks.observe("ams1") == {"name": "ams1", "system": {}, "interfaces": {}, "services": {}}


def test_a_node_is_configured_as_the_variables_say(lab: Lab) -> None:
    lab.playbooks.run("provision_node", {"device": "ams1", "loopback": "10.10.0.1"}, idempotency_key="a")
    assert lab.playbooks.observe("ams1")["system"] == {"loopback": "10.10.0.1"}


def test_a_port_is_configured_as_the_variables_say(lab: Lab) -> None:
    lab.playbooks.run("configure_port", PORT, idempotency_key="a")
    assert lab.playbooks.observe("ams1")["interfaces"] == {"1/1/1": {"description": "customer A", "enabled": True}}


def test_a_core_link_is_configured_at_both_ends(lab: Lab) -> None:
    lab.playbooks.run("configure_core_link", LINK, idempotency_key="a")
    interfaces = lab.playbooks.observe("utr1")["interfaces"]
    assert interfaces == {"1/4/1": {"core_link": {"name": "core 1", "ipv4": "10.20.0.1/31"}}}
    assert "1/4/1" in lab.playbooks.observe("ams1")["interfaces"]


def test_an_l2vpn_is_configured_on_each_device_of_an_endpoint(lab: Lab) -> None:
    lab.playbooks.run("configure_l2vpn", SERVICE, idempotency_key="a")
    service = lab.playbooks.observe("ams1")["services"]["L2VPN 1"]
    assert service["vni"] == 10001
    assert [one["interface"] for one in service["endpoints"]] == ["1/1/1", "1/1/2"]


def test_an_l2vpn_leaves_a_device_that_lost_its_endpoint(lab: Lab) -> None:
    lab.playbooks.run("configure_l2vpn", SERVICE, idempotency_key="a")
    lab.playbooks.run("configure_l2vpn", {**SERVICE, "endpoints": SERVICE["endpoints"][:2]}, idempotency_key="b")  # type: ignore[index]
    assert lab.playbooks.observe("utr1")["services"] == {}


@pytest.mark.parametrize(
    ("playbook", "variables"),
    [
        ("deprovision_node", {"device": "ams1"}),
        ("deprovision_port", {"device": "ams1", "interface": "1/1/1"}),
        ("deprovision_core_link", LINK),
        ("deprovision_l2vpn", {"service": "L2VPN 1"}),
    ],
)
def test_what_is_deprovisioned_is_gone_and_may_be_so_twice(lab: Lab, playbook: str, variables: dict[str, Any]) -> None:
    configured = playbook.replace("deprovision_node", "provision_node").replace("deprovision", "configure")
    full = {"configure_port": PORT, "configure_l2vpn": SERVICE}.get(configured, variables)
    lab.playbooks.run(configured, full, idempotency_key="a")
    lab.playbooks.run(playbook, variables, idempotency_key="b")
    lab.playbooks.run(playbook, variables, idempotency_key="c")
    assert lab.playbooks.observe("ams1") == {"name": "ams1", "system": {}, "interfaces": {}, "services": {}}


def test_a_job_says_what_it_changed(lab: Lab) -> None:
    lab.playbooks.run("configure_port", PORT, idempotency_key="a")
    job = lab.playbooks.run("configure_port", {**PORT, "enabled": False}, idempotency_key="b")
    assert job.changed
    assert job.differences == (Difference("ams1.interfaces.1/1/1.enabled", expected=False, actual=True),)


def test_a_playbook_that_finds_all_well_changes_nothing(lab: Lab) -> None:
    lab.playbooks.run("configure_port", PORT, idempotency_key="a")
    assert not lab.playbooks.run("configure_port", PORT, idempotency_key="b").changed


def test_a_key_gives_the_job_of_before(lab: Lab) -> None:
    first = lab.playbooks.run("configure_port", PORT, idempotency_key="a")
    assert lab.playbooks.start("configure_port", PORT, idempotency_key="a") == first


def test_a_key_for_other_variables_is_refused(lab: Lab) -> None:
    lab.playbooks.run("configure_port", PORT, idempotency_key="a")
    with pytest.raises(ExternalSystemError, match="'a' was used for another playbook or other variables"):
        lab.playbooks.start("configure_port", {**PORT, "enabled": False}, idempotency_key="a")


def test_ten_at_once_with_one_key_are_one_job(lab: Lab) -> None:
    with ThreadPoolExecutor(10) as threads:
        jobs = list(threads.map(lambda _: lab.playbooks.run("configure_port", PORT, idempotency_key="a"), range(10)))
    assert len({job.id for job in jobs}) == 1


def test_a_check_finds_the_differences_and_changes_nothing(lab: Lab) -> None:
    lab.playbooks.run("configure_port", PORT, idempotency_key="a")
    found = lab.playbooks.check("configure_port", {**PORT, "description": "customer B"})
    assert found == (Difference("ams1.interfaces.1/1/1.description", expected="customer B", actual="customer A"),)
    assert lab.playbooks.check("configure_port", PORT) == ()


def test_a_check_playbook_changes_nothing_either(lab: Lab) -> None:
    job = lab.playbooks.run("check_port", PORT, idempotency_key="a")
    assert job.differences
    assert not job.changed
    assert lab.playbooks.observe("ams1")["interfaces"] == {}


def test_an_unknown_playbook_is_named_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="No playbook 'make_coffee'; there are: configure_core_link"):
        lab.playbooks.start("make_coffee", {}, idempotency_key="a")


def test_a_missing_variable_is_named(lab: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="interface: This variable is required"):
        lab.playbooks.start("configure_port", {"device": "ams1"}, idempotency_key="a")


def test_an_unknown_job_is_an_error(lab: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="no jobs/nobody"):
        lab.playbooks.job("nobody")


def test_a_failed_job_raises_with_the_runners_words(lab: Lab) -> None:
    lab.control.fail("job configure_port")
    with pytest.raises(PlaybookFailed, match=r"Playbook configure_port .* failed: A rule of the lab fails"):
        lab.playbooks.run("configure_port", PORT, idempotency_key="a")


def test_a_failed_job_is_started_anew_by_its_key(lab: Lab) -> None:
    lab.control.fail("job configure_port", times=1)
    with pytest.raises(PlaybookFailed):
        lab.playbooks.run("configure_port", PORT, idempotency_key="a")
    assert lab.playbooks.run("configure_port", PORT, idempotency_key="a").status == "successful"


def test_a_job_that_takes_too_long_is_unavailable(lab: Lab) -> None:
    lab.control.slow(1, "job ")
    with pytest.raises(ExternalSystemUnavailable, match=r"is still (pending|running) after 0\.1 s"):
        lab.playbooks.run("configure_port", PORT, idempotency_key="a", timeout=0.1)


def test_nobody_there_is_unavailable_with_the_address_and_advice() -> None:
    with pytest.raises(ExternalSystemUnavailable, match=r"127\.0\.0\.1:9/devices/a/config.*check PLAYBOOK_URL"):
        PlaybookRunner(url="http://127.0.0.1:9", token="t").observe("a")


def test_a_wrong_token_is_refused_and_not_shown(lab: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="Invalid token") as caught:
        PlaybookRunner(url=lab.url, token="top-secret").observe("ams1")
    assert "top-secret" not in str(caught.value)


@pytest.fixture
def callbacks() -> Iterator[tuple[str, "Queue[dict[str, Any]]"]]:
    """An address that takes what is posted to it, and the queue where it lands."""
    received: Queue[dict[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/done", received
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_callback_is_told_of_the_end(lab: Lab, callbacks: tuple[str, "Queue[dict[str, Any]]"]) -> None:
    url, received = callbacks
    job = lab.playbooks.start("configure_port", PORT, idempotency_key="a", callback_url=url)
    told = received.get(timeout=100)
    assert (told["id"], told["status"]) == (job.id, "successful")


def test_the_callback_is_told_of_a_failure(lab: Lab, callbacks: tuple[str, "Queue[dict[str, Any]]"]) -> None:
    url, received = callbacks
    lab.control.fail("job configure_port")
    lab.playbooks.start("configure_port", PORT, idempotency_key="a", callback_url=url)
    assert received.get(timeout=100)["status"] == "failed"


def test_a_callback_that_nobody_takes_does_not_harm_the_job(lab: Lab) -> None:
    job = lab.playbooks.start("configure_port", PORT, idempotency_key="a", callback_url="http://127.0.0.1:9/")
    assert lab.playbooks.wait(job).status == "successful"
