"""The lab's NetBox as others would ask it: paths, shapes and refusals of NetBox's REST API."""

from typing import Any

import pytest
import requests

from resources.lab.testing import Lab

HEADERS = {"Authorization": "Token lab"}
REFERENCES = {"site": "sites", "role": "device-roles", "device_type": "device-types"}


@pytest.fixture
def ask(lab: Lab) -> Any:
    """(method, path, body=None, **headers) -> the response."""

    def call(method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        url = path if path.startswith("http") else f"{lab.url}/api/{path}"
        return requests.request(method, url, json=body, headers=HEADERS | headers, timeout=100)

    return call


def vlans(ask: Any, count: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = ask(
        "POST", "ipam/vlans/", [{"vid": 10 + each, "name": f"v{each}"} for each in range(count)]
    ).json()
    return made


def test_a_request_without_a_token_is_403(lab: Lab) -> None:
    response = requests.get(f"{lab.url}/api/dcim/sites/", timeout=100)
    assert (response.status_code, response.json()) == (403, {"detail": "Authentication credentials were not provided."})


def test_a_newer_bearer_token_is_accepted(lab: Lab) -> None:
    response = requests.get(f"{lab.url}/api/status/", headers={"Authorization": "Bearer lab"}, timeout=100)
    assert response.status_code == 200


def test_a_list_comes_in_pages_that_link_to_each_other(ask: Any) -> None:
    first = ask("GET", "dcim/sites/?limit=3").json()
    assert first["count"] == 8
    assert first["previous"] is None
    second = ask("GET", first["next"]).json()
    third = ask("GET", second["next"]).json()
    assert third["next"] is None
    names = [site["name"] for page in (first, second, third) for site in page["results"]]
    assert len(set(names)) == 8


def test_a_page_has_fifty_objects_unless_told(ask: Any) -> None:
    vlans(ask, 60)
    assert len(ask("GET", "ipam/vlans/").json()["results"]) == 50
    assert len(ask("GET", "ipam/vlans/?limit=0").json()["results"]) == 60


def test_references_are_brief_objects_and_choices_have_labels(ask: Any) -> None:
    shown = ask("GET", "ipam/prefixes/?prefix=10.10.0.0/16").json()["results"][0]
    assert shown["role"]["slug"] == "loopback"
    assert shown["status"] == {"value": "container", "label": "Container"}
    assert shown["family"] == {"value": 4, "label": "IPv4"}


def test_a_missing_object_is_404(ask: Any) -> None:
    response = ask("GET", "dcim/devices/999999/")
    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_changing_a_missing_object_is_404(ask: Any, method: str) -> None:
    assert ask(method, "dcim/devices/999999/", {}).status_code == 404


def test_each_faulty_field_has_its_message(ask: Any) -> None:
    response = ask("POST", "ipam/vlans/", {"vid": 5000, "status": "odd"})
    assert response.status_code == 400
    assert response.json() == {
        "vid": ["Ensure this value is less than or equal to 4094."],
        "name": ["This field is required."],
        "status": ["odd is not a valid choice."],
    }


def test_an_unknown_reference_is_named_by_its_id(ask: Any) -> None:
    response = ask("POST", "ipam/vlans/", {"vid": 5, "name": "a", "site": 999999})
    assert response.json() == {"site": ["Related object not found using the provided numeric ID: 999999"]}


def test_a_reference_may_be_given_by_its_values(ask: Any) -> None:
    made = ask("POST", "ipam/vlans/", {"vid": 5, "name": "a", "site": {"slug": "utr"}}).json()
    assert made["site"]["name"] == "Utrecht"


def test_a_second_object_of_a_unique_name_is_refused(ask: Any) -> None:
    response = ask("POST", "dcim/sites/", {"name": "Amsterdam", "slug": "other"})
    assert (response.status_code, response.json()) == (400, {"name": ["site with this name already exists."]})


def test_a_bulk_request_is_done_wholly_or_not_at_all(ask: Any) -> None:
    response = ask("POST", "ipam/vlans/", [{"vid": 5, "name": "a"}, {"vid": 5000, "name": "b"}])
    assert response.status_code == 400
    assert ask("GET", "ipam/vlans/").json()["count"] == 0


def test_many_are_changed_and_deleted_at_once(ask: Any) -> None:
    made = vlans(ask, 3)
    changed = ask("PATCH", "ipam/vlans/", [{"id": one["id"], "description": "new"} for one in made])
    assert [one["description"] for one in changed.json()] == ["new"] * 3
    assert ask("DELETE", "ipam/vlans/", [{"id": one["id"]} for one in made[:2]]).status_code == 204
    assert ask("GET", "ipam/vlans/").json()["count"] == 1


def test_a_put_needs_all_that_a_post_needs(ask: Any) -> None:
    vlan = vlans(ask, 1)[0]
    assert ask("PUT", f"ipam/vlans/{vlan['id']}/", {"vid": 5}).json() == {"name": ["This field is required."]}


def test_a_change_of_what_has_changed_meanwhile_is_412(ask: Any) -> None:
    path = f"ipam/vlans/{vlans(ask, 1)[0]['id']}/"
    etag = ask("GET", path).headers["ETag"]
    assert ask("PATCH", path, {"description": "first"}, **{"If-Match": etag}).status_code == 200
    assert ask("PATCH", path, {"description": "second"}, **{"If-Match": etag}).status_code == 412


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=v1", ["v1"]),
        ("name=v1&name=v2", ["v1", "v2"]),
        ("vid=11", ["v1"]),
        ("vid__gte=12", ["v2", "v3"]),
        ("name__n=v1", ["v0", "v2", "v3"]),
        ("name__ie=V1", ["v1"]),
        ("name__iew=3", ["v3"]),
        ("q=v2", ["v2"]),
        ("site=ams", []),
        ("site_id=null&vid=10", ["v0"]),
        ("description__empty=true&vid=10", ["v0"]),
        ("vid__lt=13&ordering=-vid", ["v2", "v1", "v0"]),
    ],
)
def test_filters_are_netboxs(ask: Any, query: str, found: list[str]) -> None:
    vlans(ask, 4)
    assert [one["name"] for one in ask("GET", f"ipam/vlans/?{query}").json()["results"]] == found


def test_an_unknown_filter_is_refused_and_not_ignored(ask: Any) -> None:
    assert ask("GET", "ipam/vlans/?colour=red").json() == {"colour": ["Unknown filter field"]}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("within=10.0.0.0/8", ["10.10.0.0/16", "10.20.0.0/16"]),
        ("within=10.10.0.0/16", []),
        ("within_include=10.10.0.0/16", ["10.10.0.0/16"]),
        ("contains=10.20.3.4", ["10.20.0.0/16"]),
        ("role=core-link&family=6", ["fd00:20::/64"]),
    ],
)
def test_prefixes_are_found_by_where_they_lie(ask: Any, query: str, found: list[str]) -> None:
    assert [one["prefix"] for one in ask("GET", f"ipam/prefixes/?{query}").json()["results"]] == found


def test_free_room_can_be_looked_at_before_it_is_taken(ask: Any) -> None:
    prefix = ask("POST", "ipam/prefixes/", {"prefix": "192.0.2.0/30"}).json()
    hosts = ask("GET", f"ipam/prefixes/{prefix['id']}/available-ips/").json()
    assert [one["address"] for one in hosts] == ["192.0.2.1/30", "192.0.2.2/30"]
    room = ask("GET", f"ipam/prefixes/{prefix['id']}/available-prefixes/").json()
    assert [one["prefix"] for one in room] == ["192.0.2.0/30"]


def test_several_addresses_are_taken_at_once(ask: Any) -> None:
    prefix = ask("POST", "ipam/prefixes/", {"prefix": "192.0.2.0/29"}).json()
    taken = ask("POST", f"ipam/prefixes/{prefix['id']}/available-ips/", [{}, {}]).json()
    assert [one["address"] for one in taken] == ["192.0.2.1/29", "192.0.2.2/29"]


def test_a_full_prefix_is_a_409(ask: Any) -> None:
    prefix = ask("POST", "ipam/prefixes/", {"prefix": "192.0.2.0/31"}).json()
    responses = [ask("POST", f"ipam/prefixes/{prefix['id']}/available-ips/", {}) for _ in range(3)]
    assert [one.status_code for one in responses] == [201, 201, 409]


def test_a_prefix_with_host_bits_is_refused_with_what_may_be_meant(ask: Any) -> None:
    response = ask("POST", "ipam/prefixes/", {"prefix": "192.0.2.1/24"})
    assert response.json() == {"prefix": ["192.0.2.1/24 is not a valid prefix. Did you mean 192.0.2.0/24?"]}


def test_an_address_cannot_be_twice_whatever_its_mask(ask: Any) -> None:
    ask("POST", "ipam/ip-addresses/", {"address": "192.0.2.1/24"})
    response = ask("POST", "ipam/ip-addresses/", {"address": "192.0.2.1/32"})
    assert response.json() == {"address": ["Duplicate IP address found in global table: 192.0.2.1/24"]}


def test_what_others_depend_on_cannot_be_deleted(ask: Any, lab: Lab) -> None:
    lab.netbox.create_device("ams1", vendor="Nokia", model="7750 SR-7", site="ams", role="pe", idempotency_key="a")
    site = ask("GET", "dcim/sites/?slug=ams").json()["results"][0]
    response = ask("DELETE", f"dcim/sites/{site['id']}/")
    assert response.status_code == 409
    assert "1 dependent objects were found: ams1" in response.json()["detail"]


def test_a_deleted_device_takes_its_ports_cables_and_addresses_along(ask: Any, lab: Lab) -> None:
    device = lab.netbox.create_device(
        "ams1", vendor="Nokia", model="7750 SR-7", site="ams", role="pe", idempotency_key="a"
    )
    ports = lab.netbox.interfaces(device.id)
    lab.netbox.create_cable(ports[0].id, ports[1].id, idempotency_key="c")
    lab.netbox.reserve_loopback(device.id, idempotency_key="l")
    assert ask("DELETE", f"dcim/devices/{device.id}/").status_code == 204
    counts = [
        ask("GET", f"{kind}/").json()["count"] for kind in ("dcim/interfaces", "dcim/cables", "ipam/ip-addresses")
    ]
    assert counts == [0, 0, 0]


def test_what_is_no_json_is_refused(lab: Lab) -> None:
    response = requests.post(f"{lab.url}/api/ipam/vlans/", data="{", headers=HEADERS, timeout=100)
    assert response.status_code == 400
    assert "JSON parse error" in response.json()["detail"]


def test_texts_are_trimmed_before_they_are_measured(ask: Any) -> None:
    made = ask("POST", "dcim/sites/", {"name": " Oslo ", "slug": "oslo", "description": "x" * 200 + " "}).json()
    assert (made["name"], len(made["description"])) == ("Oslo", 200)


def test_a_slug_has_no_blanks(ask: Any) -> None:
    refused = ask("POST", "dcim/sites/", {"name": "Oslo", "slug": "os lo"})
    assert (refused.status_code, list(refused.json())) == (400, ["slug"])


def test_devices_of_a_site_do_not_differ_in_case_alone(ask: Any) -> None:
    device = {"name": "ams1"}
    device |= {name: ask("GET", f"dcim/{path}/").json()["results"][0]["id"] for name, path in REFERENCES.items()}
    assert ask("POST", "dcim/devices/", device).status_code == 201
    assert ask("POST", "dcim/devices/", device | {"name": "AMS1"}).status_code == 400
