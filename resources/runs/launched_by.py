"""Who launched a run: its tags carry the user with roles and claims, signed, so that no other door can write them.

The key is in Dagster's database, which every server and worker reaches and no door shows.
"""

import base64
import hashlib
import hmac
import json
import secrets
import zlib
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from dagster import DagsterInstance

from resources import clock, tags
from resources.users import SYSTEM, Role, User

KEY = "orchestrator/launch_key"
VALID_HOURS = 24
LONGEST_PART = 2000
"""PostgreSQL indexes the value of a tag, which may have 2,704 bytes for that."""

UNSIGNED = "Its run names {user}, and no server has signed that: launch it after a login, or without the tag `user`."
FORGED = "The signature of its run is not valid, so nobody knows whether {user} launched it: launch it again."
EXPIRED = f"{{user}} launched its run more than {VALID_HOURS} hours ago, and roles may have changed: launch it again."


_keys: WeakKeyDictionary[Any, bytes] = WeakKeyDictionary()


def of_user(instance: DagsterInstance, user: str) -> dict[str, str]:
    """The tags of a run that somebody launches by an API or a command: signed when it is known who that is."""
    if isinstance(user, User) and user != SYSTEM and not user.doubt:
        return signed(instance, user)
    return tags.of_user(user)


def signed(instance: DagsterInstance, user: User) -> dict[str, str]:
    """The tags of a run that this user launches."""
    until = clock.now().timestamp() + VALID_HOURS * 3600
    known = {"name": str(user), "roles": sorted(user.roles), "claims": dict(user.claims), "until": until}
    text = base64.urlsafe_b64encode(zlib.compress(json.dumps(known, default=str).encode())).decode()
    parts = [text[start : start + LONGEST_PART] for start in range(0, len(text), LONGEST_PART)]
    return {
        tags.USER: str(user),
        tags.SIGNED: f"{len(parts)} {_signature(instance, text)}",
        **{f"{tags.SIGNED}_{number}": part for number, part in enumerate(parts)},
    }


def launched_by(instance: DagsterInstance, known: Mapping[str, str]) -> User:
    """The user in the tags of a run; one with a doubt when a person is named and no valid signature says so.

    A run that names nobody is the engine's, or was launched by somebody who reaches the database.
    """
    name = tags.read(known, tags.USER) or SYSTEM
    if tags.SIGNED not in known:
        return SYSTEM if name == SYSTEM else User(name, doubt=UNSIGNED.format(user=name))
    count, _, signature = known[tags.SIGNED].partition(" ")
    parts = range(int(count)) if count.isdecimal() and len(count) < 5 else ()
    text = "".join(known.get(f"{tags.SIGNED}_{number}", "") for number in parts)
    if not hmac.compare_digest(signature.encode(), _signature(instance, text).encode()):
        return User(name, doubt=FORGED.format(user=name))
    found = json.loads(zlib.decompress(base64.urlsafe_b64decode(text)))
    if found["name"] != name:
        return User(name, doubt=FORGED.format(user=name))
    if found["until"] < clock.now().timestamp():
        return User(name, doubt=EXPIRED.format(user=name))
    return User(name, claims=found["claims"], roles=[Role(role) for role in found["roles"]])


def _signature(instance: DagsterInstance, text: str) -> str:
    return hmac.new(_key(instance), text.encode(), hashlib.sha256).hexdigest()


def _key(instance: DagsterInstance) -> bytes:
    """The key of all servers of this instance, made with the first signature: of two at once, one's."""
    storage: Any = instance.run_storage
    if storage not in _keys:
        made = "INSERT INTO kvs (key, value) VALUES (:key, :value) ON CONFLICT DO NOTHING"
        with storage.connect() as connection:
            connection.execute(sa.text(made), {"key": KEY, "value": secrets.token_hex(32)})
        _keys[storage] = bytes.fromhex(storage.get_cursor_values({KEY})[KEY])
    return _keys[storage]
