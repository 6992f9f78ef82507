"""NetBox through pynetbox, with JSON in and out: the one module that uses pynetbox, which has no types."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pynetbox  # type: ignore[import-untyped]

from resources.errors import ExternalSystemError
from resources.systems.http_session import ExternalSession, session_for, shown
from resources.systems.netbox_records import Json


class NetBoxConnection:
    """A NetBox. An endpoint is written `dcim.device_types`."""

    def __init__(self, url: str, token: str, timeout: float) -> None:
        self._session: ExternalSession = session_for(
            "NetBox", url, "check NETBOX_URL and that NetBox is running, then try again", timeout
        )
        self._api: Any = pynetbox.api(url, token=token)
        self._api.http_session = self._session

    def _endpoint(self, name: str) -> Any:
        app, _, endpoint = name.partition(".")
        return getattr(getattr(self._api, app), endpoint)

    @contextlib.contextmanager
    def _is_netbox(self) -> Iterator[None]:
        # The session raises every other refusal before pynetbox sees it.
        try:
            yield
        except (pynetbox.RequestError, pynetbox.ContentError):
            raise ExternalSystemError(
                f"{shown(self._api.base_url)} is no NetBox, or lacks a required app; check NETBOX_URL."
            ) from None

    def find(self, endpoint: str, **filters: Any) -> list[Json]:
        filters = {name: str(value).lower() if isinstance(value, bool) else value for name, value in filters.items()}
        with self._is_netbox():
            return [dict(one) for one in self._endpoint(endpoint).filter(**filters)]

    def get_or_none(self, endpoint: str, object_id: int) -> Json | None:
        """The object with that id, or None."""
        with self._is_netbox():
            found = self._endpoint(endpoint).get(object_id)
        return None if found is None else dict(found)

    def get(self, endpoint: str, object_id: int) -> Json:
        found = self.get_or_none(endpoint, object_id)
        if found is None:
            raise _missing(endpoint, object_id)
        return found

    def create(self, endpoint: str, values: Json, key: str) -> Json:
        with self._session.with_headers(Idempotency_Key=key), self._is_netbox():
            return dict(self._endpoint(endpoint).create(**values))

    def create_unless_there(self, endpoint: str, values: Json, key: str, *, field: str) -> Json | None:
        """Create an object; None when another object has this value of the unique field already."""
        try:
            return self.create(endpoint, values, key)
        except ExternalSystemError:
            if self.find(endpoint, **{field: values[field]}):
                return None
            raise

    def change(self, endpoint: str, object_id: int, changes: Json, key: str | None = None) -> Json:
        if not changes:
            return self.get(endpoint, object_id)
        with self._session.with_headers(Idempotency_Key=key), _missing_is_error(endpoint, object_id):
            return dict(self._endpoint(endpoint).update([{"id": object_id, **changes}])[0])

    def change_unless_changed(self, endpoint: str, seen: Json, changes: Json, key: str) -> Json:
        """Change the object if it still equals `seen`, else ExternalSystemError; not guaranteed before NetBox 4.6."""
        record = self._endpoint(endpoint).get(seen["id"])
        etag = self._session.etag
        if record is None:
            raise _missing(endpoint, seen["id"])
        if dict(record)["last_updated"] != seen["last_updated"]:
            raise ExternalSystemError(f"{seen['name']} was changed by another client at this moment; read it again.")
        with self._session.with_headers(Idempotency_Key=key, If_Match=etag):
            record.update(changes)
        return self.get(endpoint, seen["id"])

    def delete(self, endpoint: str, object_id: int) -> None:
        """Delete an object if it exists."""
        record = self._endpoint(endpoint).get(object_id)
        if record is not None:
            with contextlib.suppress(pynetbox.RequestError):  # only a 404 gets here: another was faster
                record.delete()

    def allocate(self, what: str, values: Json, key: str, **container: Any) -> Json | None:
        """Allocate the next free address or prefix of the first prefix that fits these filters; None without one."""
        with self._is_netbox(), self._session.with_headers(Idempotency_Key=key):
            found = next(iter(self._endpoint("ipam.prefixes").filter(**container)), None)
            return None if found is None else dict(getattr(found, what).create(values))


@contextlib.contextmanager
def _missing_is_error(endpoint: str, object_id: int) -> Iterator[None]:
    try:
        yield
    except pynetbox.RequestError:  # the session raises every other refusal
        raise _missing(endpoint, object_id) from None


def _missing(endpoint: str, object_id: int) -> ExternalSystemError:
    what = endpoint.partition(".")[2].replace("_", " ")
    return ExternalSystemError(f"NetBox has no {what} with id {object_id}; it may have been deleted there.")
