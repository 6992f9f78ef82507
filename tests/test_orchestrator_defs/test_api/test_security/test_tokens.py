"""Bearer tokens: which ones open the door, and what is said of the others."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from joserfc.jwk import RSAKey

from orchestrator_defs.api.security.login import tokens
from tests.api import LOOP
from tests.oidc import CLIENT, KEYS, bearer

PATH = "/api/processes/"


def get(client, token):
    return client.get(PATH, headers=bearer(token))


def part(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_a_good_token_names_its_bearer(provider, secured):
    assert get(secured(), provider.mint()).json() == "ada"


def test_nobody_comes_in_without_a_token(secured):
    answer = secured().get(PATH)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="orchestrator"')
    assert answer.headers["content-type"] == "application/problem+json"


REFUSED = {
    "expired": ({"exp": int(time.time()) - 3600}, "The token has expired."),
    "without an end": ({"exp": None}, "The token has no expiry time."),
    "with an end that is no time": ({"exp": "tomorrow"}, "The token's exp is not a time."),
    "with an end that is true": ({"exp": True}, "The token's exp is not a time."),
    "with an end beyond all time": ({"exp": float("inf")}, "The token's exp is not a time."),
    "not valid yet": ({"nbf": int(time.time()) + 3600}, "The token is not valid yet."),
    "issued in the future": ({"iat": int(time.time()) + 3600}, "The token is not valid yet."),
    "of another issuer": (
        {"iss": "https://elsewhere.example.org"},
        "The token was not issued by the identity provider.",
    ),
    "without an issuer": ({"iss": None}, "The token was not issued by the identity provider."),
    "for another audience": ({"aud": ["other", 7]}, "The token is for another audience."),
    "without an audience": ({"aud": None}, "The token is for another audience."),
    "of nobody": ({"sub": None, "preferred_username": None}, "The token names no user."),
    "of the system": ({"preferred_username": "SYSTEM"}, "The name SYSTEM is reserved for the server."),
    "of a name that no row holds": (
        {"preferred_username": "a\0b"},
        "The user name in the token is too long or has characters that cannot be stored.",
    ),
}


def test_a_token_is_refused_with_the_reason(provider, secured):
    client = secured()
    for case, (claims, sentence) in REFUSED.items():
        answer = get(client, provider.mint(**claims))
        assert (answer.status_code, answer.json()["detail"]) == (401, sentence), case
        assert f'error="invalid_token", error_description="{sentence}"' in answer.headers["www-authenticate"], case


def test_an_unsigned_token_is_refused(provider, secured):
    _, claims, _ = provider.mint().split(".")
    answer = get(secured(), f"{part({'alg': 'none'})}.{claims}.")
    assert (answer.status_code, answer.json()["detail"]) == (
        401,
        "The token is signed in a way that is not accepted here.",
    )


def test_the_public_key_is_no_secret_to_sign_with(provider, secured):
    _, claims, _ = provider.mint().split(".")
    signed = f"{part({'alg': 'HS256', 'kid': KEYS[0].kid})}.{claims}"
    digest = hmac.new(KEYS[0].as_pem(private=False), signed.encode(), hashlib.sha256).digest()
    token = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    assert get(secured(), token).status_code == 401


def test_a_key_of_the_same_name_does_not_do(provider, secured):
    forged = provider.mint(RSAKey.generate_key(2048, {"kid": KEYS[0].kid}))
    assert get(secured(), forged).json()["detail"] == "The token's signature is not that of the identity provider."


def test_a_changed_claim_breaks_the_signature(provider, secured):
    header, _, signature = provider.mint().split(".")
    other = provider.mint(preferred_username="eve").split(".")[1]
    assert get(secured(), f"{header}.{other}.{signature}").status_code == 401


def test_a_logout_token_opens_nothing(provider, secured):
    assert get(secured(), provider.mint(header={"typ": "logout+jwt"})).status_code == 401


def test_rubbish_is_refused(secured):
    client = secured()
    for token in ("x", "a.b.c", "....", "é.é.é", "e30.e30.e30", "bnVsbA.e30.e30", '"; drop'):
        answer = client.get(PATH, headers={"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code == 401, token


def test_a_clock_may_be_a_little_wrong(provider, secured):
    client = secured(oauth2_clock_skew_seconds=60)
    now = int(time.time())
    assert get(client, provider.mint(exp=now - 40, iat=now + 40, nbf=now + 40)).status_code == 200
    assert get(client, provider.mint(exp=now - 80)).status_code == 401


def test_audiences_may_be_several(provider, secured):
    client = secured(oauth2_audience="first, second")
    assert [get(client, provider.mint(aud=aud)).status_code for aud in ("second", ["x", "first"], CLIENT)] == [
        200,
        200,
        401,
    ]


# --- keys ---


def test_keys_are_fetched_once(provider, secured):
    client = secured()
    for _ in range(5):
        assert get(client, provider.mint()).status_code == 200
    assert provider.requests == {"/.well-known/openid-configuration": 1, "/keys": 1}


def clock_of(client, seconds):
    """Have the server's knowledge of the provider be older by so much."""
    provider = client.app.state.authorisation.provider
    before = provider.clock
    provider.clock = lambda: before() + seconds


def test_a_new_key_is_fetched_when_a_token_names_it(provider, secured):
    client = secured()
    old = provider.mint()
    get(client, old)
    clock_of(client, 10)
    provider.rotate()
    assert get(client, provider.mint()).status_code == 200
    assert get(client, old).status_code == 200


def test_keys_that_nobody_knows_do_not_have_the_provider_asked_each_time(provider, secured):
    client = secured()
    get(client, provider.mint())
    for number in range(5):
        stranger = provider.mint(KEYS[2], {"kid": f"stranger {number}"})
        assert get(client, stranger).json()["detail"] == (
            "The token is signed with a key that the identity provider does not publish."
        )
    assert provider.requests["/keys"] == 1


def test_a_key_that_was_withdrawn_is_forgotten(provider, secured):
    client = secured()
    old = provider.mint()
    get(client, old)
    provider.keys = [KEYS[1]]
    clock_of(client, 400)
    deadline = time.monotonic() + 100
    while get(client, old).status_code == 200:
        assert time.monotonic() < deadline, "the key is still trusted"
    assert get(client, old).status_code == 401


def test_known_keys_stay_good_while_the_provider_is_down(provider, secured):
    client = secured()
    get(client, provider.mint())
    provider.is_down = True
    clock_of(client, 400)
    assert [get(client, provider.mint()).status_code for _ in range(3)] == [200, 200, 200]


def test_nobody_waits_for_a_provider_that_is_slow_when_the_key_is_known(provider, secured):
    client = secured()
    get(client, provider.mint())
    provider.delay = 10
    clock_of(client, 400)
    begun = time.monotonic()
    assert get(client, provider.mint()).status_code == 200
    assert time.monotonic() - begun < 8


def test_an_unknown_key_cannot_be_judged_while_the_provider_is_down(provider, secured):
    client = secured()
    get(client, provider.mint())
    provider.is_down = True
    clock_of(client, 10)
    answers = [get(client, provider.mint(KEYS[1])) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].json()["detail"].startswith("The identity provider does not answer.")
    assert answers[0].headers["retry-after"] == "5"


def test_a_server_that_started_before_its_provider_recovers(provider, secured):
    client = secured()
    provider.is_down = True
    assert get(client, provider.mint()).status_code == 503
    provider.is_down = False
    clock_of(client, 10)
    assert get(client, provider.mint()).status_code == 200


# --- tokens that are no JWT ---

KNOWN = {"active": True, "sub": "2", "client_id": CLIENT, "roles": ["viewer"]}
"""What introspection says of a token."""


def test_the_provider_is_asked_about_a_token_that_is_no_jwt(provider, secured):
    provider.opaque["secret"] = {**KNOWN, "preferred_username": "grace"}
    client = secured()
    assert [get(client, "secret").json() for _ in range(3)] == ["grace"] * 3
    assert provider.requests["/introspect"] == 1


def test_what_the_provider_says_against_a_token_counts(provider, secured):
    client = secured()
    against = ({"active": False}, {"active": "true"}, {"aud": "other"}, {"iss": "https://elsewhere"}, {"exp": 1})
    for number, said in enumerate(against):
        provider.opaque[f"secret {number}"] = {**KNOWN, **said}
        assert get(client, f"secret {number}").status_code == 401, said


def test_userinfo_is_asked_only_when_that_is_wanted(provider, secured):
    provider.without = {"introspection_endpoint"}
    provider.opaque["secret"] = {"sub": "2", "preferred_username": "grace", "roles": ["viewer"]}
    assert get(secured(), "secret").status_code == 401
    client = secured(oauth2_userinfo=True)
    assert get(client, "secret").json() == "grace"
    assert get(client, "other").status_code == 401


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"client_id": CLIENT}, 200),
        ({"client_id": "another", "aud": CLIENT}, 200),
        ({"client_id": "another"}, 401),
        ({"client_id": CLIENT, "aud": "another"}, 401),
        ({"client_id": None}, 401),
        ({"client_id": {CLIENT: True}}, 401),
    ],
)
def test_a_token_made_for_another_client_opens_nothing(provider, secured, said, status):
    """Whether the provider names an audience, only a client, or neither."""
    provider.opaque["secret"] = {**KNOWN, **said}
    assert get(secured(), "secret").status_code == status


def test_a_no_of_the_provider_is_remembered(provider, secured):
    client = secured()
    assert [get(client, "junk").status_code for _ in range(5)] == [401] * 5
    assert provider.requests["/introspect"] == 1


def test_junk_of_one_address_does_not_starve_others(provider, secured, monkeypatch):
    monkeypatch.setattr(tokens, "REFUSED_PER_MINUTE", 10)
    provider.opaque["secret"] = {**KNOWN, "preferred_username": "grace"}
    client = secured()
    statuses = [get(client, f"junk {number}").status_code for number in range(15)]
    assert statuses == [401] * 10 + [429] * 5
    authorisation = client.app.state.authorisation
    assert LOOP.run(authorisation.user_with("secret", "10.0.0.7")) == "grace"
    assert get(client, provider.mint()).status_code == 200


def test_good_tokens_of_one_address_are_not_counted(provider, secured, monkeypatch):
    monkeypatch.setattr(tokens, "REFUSED_PER_MINUTE", 2)
    provider.opaque.update({f"secret {number}": KNOWN for number in range(6)})
    client = secured()
    assert [get(client, f"secret {number}").status_code for number in range(6)] == [200] * 6
