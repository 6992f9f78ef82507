"""Who may see and delete saved searches."""

import pytest
from sqlalchemy.orm import Session

from resources.errors import NotAuthorised, UnknownQuery
from resources.searches.saved_queries import delete_query, get_query, list_queries, save_query
from resources.users import Role, User

ADA, BOB, ROOT = User("ada"), User("bob", roles=[Role.VIEWER]), User("root", roles=[Role.ADMIN])


def names(user: User) -> list[str]:
    return [one.name for one in list_queries(user, limit=10)[0]]


def test_a_private_search_is_seen_by_its_user_alone(session: Session) -> None:
    mine = save_query("mine", "subscriptions", {}, is_shared=False, user=ADA)
    shared = save_query("ours", "subscriptions", {}, is_shared=True, user=ADA)
    save_query("mine", "processes", {}, is_shared=False, user=BOB)
    assert (names(ADA), names(BOB), names(ROOT)) == (["mine", "ours"], ["mine", "ours"], ["ours"])
    with pytest.raises(UnknownQuery):
        get_query(mine.query_id, ROOT)
    with pytest.raises(NotAuthorised, match="belongs to ada"):
        delete_query(shared.query_id, BOB)
    delete_query(shared.query_id, ROOT)
    delete_query(mine.query_id, ADA)
    session.flush()
    assert (names(ADA), names(BOB)) == ([], ["mine"])
