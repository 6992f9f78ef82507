"""The id of a run storage is one, however many ask for it at once."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from dagster import DagsterInstance

from resources.runs.storage_identity import storage_id


def test_threads_that_ask_first_at_once_get_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of one start would belong to two owners otherwise, and not see each other."""

    def make(_: object) -> str:
        time.sleep(0.05)
        return str(uuid4())

    with DagsterInstance.ephemeral() as instance, ThreadPoolExecutor(4) as threads:
        monkeypatch.setattr(type(instance.run_storage), "get_run_storage_id", make)

        assert len(set(threads.map(lambda _: storage_id(instance), range(4)))) == 1
