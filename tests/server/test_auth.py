"""Users' JWTs: what is signed for us by who may sign says who somebody is; nothing else does."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from server.auth import BadToken, KeysUnavailable, UserTokens

SECRET = "0123456789abcdef0123456789abcdef"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"sub": "42", "exp": now + 600, "aud": "party"} | changes
    return {name: value for name, value in made.items() if value is not None}


def signed(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, algorithm="HS256")


def by_secret(audience: str | None = "party") -> UserTokens:
    return UserTokens(secret=SECRET, jwks_url=None, audience=audience)


async def refused(users: UserTokens, token: str) -> None:
    with pytest.raises(BadToken) as bad:
        await users.user_id(token)
    assert str(bad.value) == "the token is not valid here"
    assert bad.value.__cause__ is None
    assert bad.value.__suppress_context__ or bad.value.__context__ is None


async def test_a_token_signed_with_the_secret_says_who() -> None:
    assert await by_secret().user_id(signed()) == 42
    assert await by_secret(audience=None).user_id(signed(aud=None)) == 42


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"sub": None},
        {"aud": None},
        {"aud": "others"},
        {"nbf": 4_000_000_000},
        {"sub": "ann"},
        {"sub": ""},
        {"sub": "0"},
        {"sub": "-7"},
        {"sub": "1_0"},
        {"sub": " 42"},
        {"sub": "٤٢"},
        {"sub": str(2**63)},
        {"sub": "9" * 5000},
    ],
    ids=str,
)
async def test_one_that_is_over_for_others_or_for_nobody_does_not(changes: dict[str, Any]) -> None:
    await refused(by_secret(), signed(**changes))


async def test_without_secret_and_keys_there_are_only_guests() -> None:
    await refused(UserTokens(secret=None, jwks_url=None, audience=None), signed(aud=None))


async def test_one_that_nobody_signed_does_not() -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for algorithm in ("none", "None", "NONE"):
        await refused(by_secret(), f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}.")
    await refused(by_secret(), jwt.encode(claims(), "x" * 32, algorithm="HS256"))
    await refused(by_secret(), jwt.encode(claims(), RSA_KEY, algorithm="RS256"))
    head, body, _ = signed().split(".")
    await refused(by_secret(), f"{head}.{part(claims(sub='43'))}.{signed().rsplit('.', 1)[1]}")
    await refused(by_secret(), f"{head}.{body}.")


@given(st.text(max_size=60) | st.tuples(*[st.text(max_size=20)] * 3).map(".".join))
async def test_arbitrary_text_is_a_bad_token_and_nothing_worse(token: str) -> None:
    await refused(by_secret(), token)


class Keys:
    """A real HTTP server with a JWKS."""

    def __init__(self) -> None:
        self.found = True
        jwks = {
            "keys": [
                jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True)
                | {"kid": "r", "use": "sig"},
                jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True)
                | {"kid": "e", "use": "sig"},
            ]
        }
        body = json.dumps(jwks).encode()
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if keys.found else 503)
                self.end_headers()
                self.wfile.write(body if keys.found else b"")

            def log_message(self, *about: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"


@pytest.fixture
def keys() -> Iterator[Keys]:
    made = Keys()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


async def test_a_token_signed_with_a_published_key_says_who(keys: Keys) -> None:
    users = UserTokens(secret=None, jwks_url=keys.url, audience="party")
    for key, kid, algorithm in ((RSA_KEY, "r", "RS256"), (EC_KEY, "e", "ES256")):
        token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})
        assert await users.user_id(token) == 42


async def test_a_published_key_is_no_secret_to_sign_with(keys: Keys) -> None:
    """Whoever signs HS256 with the public key, or with another key of the same name, is nobody."""
    users = UserTokens(secret=None, jwks_url=keys.url, audience="party")
    await refused(users, jwt.encode(claims(), SECRET, algorithm="HS256", headers={"kid": "r"}))
    await refused(users, jwt.encode(claims(), OTHER_RSA_KEY, algorithm="RS256", headers={"kid": "r"}))
    await refused(users, jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "unknown"}))
    await refused(users, jwt.encode(claims(), RSA_KEY, algorithm="RS256"))
    await refused(users, "not.a.token")


async def test_keys_that_cannot_be_fetched_say_nothing_about_the_token(keys: Keys) -> None:
    """`BadToken` would tell a phone never to come again."""
    users = UserTokens(secret=None, jwks_url=keys.url, audience="party")
    keys.found = False
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "r"})
    with pytest.raises(KeysUnavailable) as unavailable:
        await users.user_id(token)
    assert token not in str(unavailable.value)
    keys.found = True
    assert await users.user_id(token) == 42
