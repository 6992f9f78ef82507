"""Which storage of Dagster an instance keeps its runs in: an id that the storage made for itself."""

from weakref import WeakKeyDictionary

from dagster import DagsterInstance

# Of all run storages only those in SQL have an id; it is there for telemetry.
from dagster._core.storage.runs import SqlRunStorage

_known: "WeakKeyDictionary[DagsterInstance, str]" = WeakKeyDictionary()


def storage_id(instance: DagsterInstance) -> str | None:
    """The id, read once for each instance; an ephemeral instance has one of its own. None for a storage without."""
    storage = instance.run_storage
    if instance not in _known and isinstance(storage, SqlRunStorage):
        _known[instance] = storage.get_run_storage_id()
    return _known.get(instance)
