"""Users go wherever a name goes."""

import copy
import json
import pickle

import pytest
import sqlalchemy as sa

from resources.users import Role, User


@pytest.fixture
def ada():
    return User("ada", claims={"sub": "1", "groups": ["noc"]}, roles=[Role.OPERATOR])


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda user: pickle.loads(pickle.dumps(user))])
def test_a_copy_knows_what_the_user_knows(ada, copied):
    found = copied(ada)
    assert (found, found.claims, found.roles) == (ada, ada.claims, ada.roles)


def test_a_user_is_a_name_to_json_and_to_the_database(ada, database):
    assert json.dumps({"by": ada}) == '{"by": "ada"}'
    with database.transaction() as session:
        assert session.scalar(sa.select(sa.literal(ada, sa.String))) == "ada"
