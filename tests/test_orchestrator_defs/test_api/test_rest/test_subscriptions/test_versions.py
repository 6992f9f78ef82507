"""The history of a subscription over REST."""


def test_a_history_is_read_newest_first_and_in_parts(engine, api):
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    device = engine.process(process_id).state["subscription_id"]
    answer = api.get(f"/subscriptions/{device}/versions", params={"range": "0,1"})
    (newest,) = answer.json()
    assert answer.headers["content-range"] == "versions 0-1/2"
    assert (newest["version"], newest["workflow_name"], newest["created_by"]) == (2, "create_device", "tester")
    assert {"path": "status", "before": "initial", "after": "active"} in newest["difference"]
    (oldest,) = api.get(f"/subscriptions/{device}/versions", params={"range": "1,2"}).json()
    assert (oldest["version"], oldest["step_key"]) == (1, "construct")


def test_a_version_is_read_whole(api, device):
    first = api.get(f"/subscriptions/{device}/versions/1").json()
    second = api.get(f"/subscriptions/{device}/versions/2").json()
    assert [one["document"]["status"] for one in (first, second)] == ["initial", "active"]
    assert second["difference"] == api.get(f"/subscriptions/{device}/versions").json()[0]["difference"]
    assert isinstance(first["created_at"], float)


def test_a_version_that_there_is_not_is_not_found(api, device):
    for number, status in ((3, 404), (0, 422), (2**31, 422), ("x", 422)):
        assert api.get(f"/subscriptions/{device}/versions/{number}").status_code == status, number
