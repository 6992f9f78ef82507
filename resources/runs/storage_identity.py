"""Which of Dagster's storages an instance keeps its runs in: an id that the storage made for itself."""

from threading import Lock
from weakref import WeakKeyDictionary

from dagster import DagsterInstance

# Only run storages in SQL have an id, which Dagster uses for telemetry.
from dagster._core.storage.runs import SqlRunStorage

_first = Lock()
"""The storage makes its id when it is first asked for it: two threads at once would get two."""
_known: "WeakKeyDictionary[DagsterInstance, str]" = WeakKeyDictionary()


def storage_id(instance: DagsterInstance) -> str | None:
    """The id, read once for each instance, an ephemeral one too; None for a storage without an id."""
    storage = instance.run_storage
    with _first:
        if instance not in _known and isinstance(storage, SqlRunStorage):
            _known[instance] = storage.get_run_storage_id()
        return _known.get(instance)
