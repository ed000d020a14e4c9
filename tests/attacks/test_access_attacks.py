"""Getting in, or doing more than one may, against a real gateway: tokens, origins, roles, ids, names, JWTs."""

from __future__ import annotations

import base64
import json
import re
import secrets
import string
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import asyncpg
import gpxpy
import jwt
import pytest
import redis
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from protocol.codec import DECODE_ERRORS, JSON
from server.tokens import digest, new_member_token, new_sharable_token
from server.up import Up
from tests.e2e.conftest import Phone, http, new_session, now_ms, started

SECRET = "an attacker does not know this secret"
AUDIENCE = "party"
URL_SAFE = string.ascii_letters + string.digits + "-_"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """With accounts."""
    folder = tmp_path_factory.mktemp("up")
    running = started(folder, PARTYLINE_JWT_SECRET=SECRET, PARTYLINE_JWT_AUDIENCE=AUDIENCE)
    yield running
    running.stop()


def account(user_id: int, **changes: Any) -> str:
    claims = {"sub": str(user_id), "exp": time.time() + 600, "aud": AUDIENCE} | changes
    return jwt.encode(claims, SECRET, algorithm="HS256")


async def ask(up: Up, question: str, *values: object) -> Any:
    connection = await asyncpg.connect(up.stack.database_url)
    try:
        return await connection.fetchval(question, *values)
    finally:
        await connection.close()


async def user_of(up: Up, session: int, m: int) -> int:
    question = "SELECT user_id FROM party_members WHERE session_id = $1 AND member_no = $2"
    user_id: int = await ask(up, question, session, m)
    return user_id


async def seat(up: Up, session: int, role: str) -> str:
    """A second member in this role, before any gateway has read the session. Their token."""
    token = new_member_token()
    user = await ask(up, "INSERT INTO users (location_opt_in) VALUES (true) RETURNING id")
    await ask(
        up,
        "INSERT INTO party_members (session_id, user_id, member_no, role, display_name, token_digest, precision, "
        "joined_at) VALUES ($1, $2, 2, $3, 'Eve', $4, 'exact', now())",
        session,
        user,
        role,
        digest(token),
    )
    return token


async def code_of(up: Up, message: dict[str, object] | None = None, **first: object) -> int:
    """What a first message is closed with."""
    phone = await Phone.open(up)
    await phone.say(**(message or first))
    return await phone.closed()


def answered(up: Up, method: str, path: str, **headers: str) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(
        up.http + path, b"{}" if method == "POST" else None, headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


# --- guessing tokens ---------------------------------------------------------------------------------


def test_a_token_has_too_many_values_to_be_guessed() -> None:
    """128 and 256 random bits: a billion guesses a second need 10^21 years for one of a million parties."""
    for make, bits in ((new_sharable_token, 128), (new_member_token, 256)):
        tokens = {make() for _ in range(2000)}
        assert len(tokens) == 2000
        assert {len(base64.urlsafe_b64decode(token + "==")) * 8 for token in tokens} == {bits}
        for at in range(bits // 6):  # each place takes each sign: nothing is fixed, counted or dated
            assert len({token[at] for token in tokens}) == 64
    assert 2**127 / 1e9 / 1e6 / (365 * 86_400) > 1e15


def test_a_good_beginning_is_worth_nothing() -> None:
    """What is looked up is a digest: of a token that is right but for its end it begins like any other."""
    token = new_sharable_token()
    shared = []
    for last in URL_SAFE.replace(token[-1], ""):
        pair = zip(digest(token), digest(token[:-1] + last), strict=True)
        shared.append(next(i for i, (a, b) in enumerate(pair) if a != b))
    assert sum(shared) <= 4


async def test_guesses_and_near_misses_do_not_let_in(up: Up) -> None:
    session = new_session(up)
    sharable, member = session["sharable_token"], session["host"]["member_token"]
    near = [
        *(sharable[:-1] + last for last in "AQgw-" if last != sharable[-1]),
        *(sharable[:n] for n in (1, 11, 21)),
        *(text.format(sharable) for text in ("{}=", " {}", "{}\n", "{}\0", "{0}{0}", "%{}")),
        sharable.swapcase(),
        digest(sharable).hex(),
        member,
        "x" * 4096,
        *(secrets.token_urlsafe(16) for _ in range(20)),
    ]
    assert {await code_of(up, t="join", token=guess, name="Eve") for guess in near} == {4501}
    assert await code_of(up, t="join", token="x" * 4097, name="Eve") == 4500
    for guess in (member[:-1], member + "=", sharable, digest(member).hex(), member.swapcase()):
        assert await code_of(up, t="resume", token=guess) == 4501
        assert http(up, "GET", f"/v1/sessions/{session['session']}", token=guess)[0] == 401
    text = await ask(up, "SELECT string_agg(s::text, '') FROM party_sessions s")
    text += await ask(up, "SELECT string_agg(m::text, '') FROM party_members m")
    assert sharable not in text
    assert member not in text


# --- tokens that were good once -------------------------------------------------------------------------


async def test_old_member_tokens_are_dead(up: Up) -> None:
    session = new_session(up)
    path, host = f"/v1/sessions/{session['session']}", session["host"]["member_token"]
    left, kicked, again = [await Phone.join(up, session["sharable_token"], name) for name in ("L", "K", "A")]
    await left.say(t="leave")
    await left.closed()
    assert http(up, "DELETE", f"{path}/members/{kicked.welcome['you']}", token=host)[0] == 204
    user = account(await user_of(up, session["session"], again.welcome["you"]))
    once_more = await Phone.join(up, session["sharable_token"], "A", user=user)
    assert once_more.welcome["you"] == again.welcome["you"]
    for phone in (left, kicked, again):
        token = phone.welcome["member_token"]
        assert await code_of(up, t="resume", token=token) in (4501, 4502)
        for method, what in (("GET", ""), ("GET", "/members"), ("GET", "/track"), ("PATCH", "")):
            assert http(up, method, path + what, {} if method == "PATCH" else None, token=token)[0] == 401
        assert http(up, "DELETE", "/v1/me", token=token)[0] == 401
    assert (await Phone.resume(up, once_more.welcome["member_token"])).welcome["you"] == again.welcome["you"]


async def test_who_was_kicked_does_not_come_back_by_an_account(up: Up) -> None:
    session = new_session(up)
    eve = await Phone.join(up, session["sharable_token"], "Eve")
    user = account(await user_of(up, session["session"], eve.welcome["you"]))
    path, host = f"/v1/sessions/{session['session']}", session["host"]["member_token"]
    assert http(up, "DELETE", f"{path}/members/{eve.welcome['you']}", token=host)[0] == 204
    assert await code_of(up, t="join", token=session["sharable_token"], name="Eve", user=user) == 4502
    assert http(up, "GET", path, token=user)[0] == 404


async def test_a_rotated_invitation_is_dead_and_members_stay(up: Up) -> None:
    session = new_session(up)
    ana = await Phone.join(up, session["sharable_token"], "Ana")
    path, host = f"/v1/sessions/{session['session']}", session["host"]["member_token"]
    status, invitation = http(up, "POST", f"{path}/token", {}, host)
    assert status == 200
    assert await code_of(up, t="join", token=session["sharable_token"], name="Eve") == 4501
    await Phone.join(up, invitation["sharable_token"], "Bo")
    await Phone.resume(up, ana.welcome["member_token"])


async def test_the_tokens_of_who_was_erased_are_dead(up: Up) -> None:
    session = new_session(up)
    ana = await Phone.join(up, session["sharable_token"], "Ana")
    token, path = ana.welcome["member_token"], f"/v1/sessions/{session['session']}"
    user = account(await user_of(up, session["session"], ana.welcome["you"]))
    assert http(up, "GET", path, token=user)[0] == 200
    assert http(up, "DELETE", "/v1/me", token=user)[0] == 200
    assert await code_of(up, t="resume", token=token) == 4501
    assert await code_of(up, t="join", token=session["sharable_token"], name="Ana", user=user) == 4501
    for bearer in (token, user):
        assert http(up, "GET", path, token=bearer)[0] == 401
        assert http(up, "DELETE", "/v1/me", token=bearer)[0] == 401
    assert http(up, "POST", "/v1/sessions", {"display_name": "Ana"}, user)[0] == 401


# --- tokens in URLs ------------------------------------------------------------------------------------


async def test_a_token_in_a_url_is_not_looked_at_and_not_logged(up: Up) -> None:
    session = new_session(up)
    tokens = session["sharable_token"], session["host"]["member_token"]
    for token in tokens:
        for key in ("token", "access_token", "member_token", "bearer"):
            status, _ = http(up, "GET", f"/v1/sessions/{session['session']}?{key}={token}")
            assert status == 401
        assert http(up, "GET", f"/v1/sessions/{token}")[0] == 404
        answered(up, "GET", f"/j?{token}")  # somebody wrote ? for #: it is not logged
        url = up.http.replace("http", "ws") + f"/v1/stream?token={token}"
        async with connect(url, compression=None, proxy=None) as socket:
            await socket.send(json.dumps({"t": "join", "token": "", "name": "Eve"}))
            await socket.wait_closed()
            assert socket.close_code == 4501
    logs = "".join(log.read_text(errors="replace") for log in up.data_dir.glob("*.log"))
    assert "connection refused" in logs
    assert not [token for token in tokens if token in logs]
    assert f"/j#{tokens[0]}" in session["join_url"]  # a fragment: no browser sends it


# --- other web sites -----------------------------------------------------------------------------------


FOREIGN = ["https://evil.example", "null", "http://{host}.evil.example", "http://{host}@evil.example",
           "http://evil.example/{host}", "http://localhost", "file://", "http://"]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_site_may_not_open_the_websocket(up: Up, origin: str) -> None:
    host = up.http.removeprefix("http://")
    with pytest.raises(InvalidStatus) as refused:
        await Phone.open(up, origin=origin.format(host=host))
    assert refused.value.response.status_code == 403


async def test_our_own_site_and_an_app_without_a_site_may(up: Up) -> None:
    """An app sends no Origin. That gives a site nothing: a browser always sends one, and tokens are no cookies."""
    session = new_session(up)
    for more in ({}, {"origin": up.http}):
        phone = await Phone.open(up, **more)
        await phone.say(t="join", token=session["sharable_token"], name="Ana")
        await phone.until("welcome")
    assert await code_of(up, t="join", token="", name="Eve") == 4501


def test_a_foreign_site_can_neither_read_nor_send_a_call(up: Up) -> None:
    session = new_session(up)
    path, token = f"/v1/sessions/{session['session']}", session["host"]["member_token"]
    evil = {"Origin": "https://evil.example", "Authorization": f"Bearer {token}"}
    for method, where in (("GET", path), ("OPTIONS", path), ("OPTIONS", "/v1/sessions"), ("GET", "/")):
        status, headers, _ = answered(up, method, where, **evil)
        assert status == (405 if method == "OPTIONS" else 200)
        assert not [name for name in headers if name.lower().startswith("access-control-")]
        assert "Set-Cookie" not in headers
    for media in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ):  # what a form sends
        assert (
            answered(up, "POST", "/v1/sessions", **{"Content-Type": media, "Origin": evil["Origin"]})[0]
            == 415
        )
    for header in ("Cookie", "X-Token", "Proxy-Authorization"):
        assert answered(up, "GET", path, **{header: f"Bearer {token}"})[0] == 401
    headers = answered(up, "GET", "/")[1]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"


# --- more than one may ---------------------------------------------------------------------------------


HOST_CALLS = [("PATCH", "", {"precision": "exact"}), ("PATCH", "", {"options": {"max_members": 500}}),
              ("DELETE", "", None), ("POST", "/token", {}), ("DELETE", "/members/1", None),
              ("DELETE", "/members/2", None), ("GET", "/summary", None)]  # fmt: skip
HOST_MESSAGES = [{"t": "set_precision", "precision": "exact"}, {"t": "kick", "m": 1}, {"t": "end"}]


@pytest.mark.parametrize("role", ["member", "viewer"])
async def test_nobody_but_the_host_acts_as_host(up: Up, role: str) -> None:
    session = new_session(up, "rough")
    path = f"/v1/sessions/{session['session']}"
    token = await seat(up, session["session"], role)
    user = account(await user_of(up, session["session"], 2))
    _, before = http(up, "GET", path, token=session["host"]["member_token"])
    for method, what, body in HOST_CALLS:
        for bearer in (token, user):
            assert http(up, method, path + what, body, bearer)[0] == 403, (method, what)
        assert http(up, method, path + what, body, session["sharable_token"])[0] == 401
        assert http(up, method, path + what, body)[0] == 401
    for message in HOST_MESSAGES:
        phone = await Phone.resume(up, token)
        await phone.say(**message, role="host", token=session["sharable_token"])
        assert await phone.closed() == 4508
    _, after = http(up, "GET", path, token=session["host"]["member_token"])
    assert [after[key] for key in ("status", "precision", "options")] == [before[key] for key in ("status", "precision", "options")]  # fmt: skip
    assert len(after["members"]) == 2


async def test_a_viewer_sees_and_may_not_send(up: Up) -> None:
    session = new_session(up)
    token = await seat(up, session["session"], "viewer")
    bo = await Phone.join(up, session["sharable_token"], "Bo")
    viewer = await Phone.resume(up, token)
    await bo.fix(1.5, 2.5)
    assert (await viewer.until("positions"))["p"][0][0] == bo.welcome["you"]
    place = {"seq": 1, "at": now_ms(), "lat": 1.0, "lon": 1.0}
    sending = ({"t": "fix", **place}, {"t": "fixes", "items": [place]}, {"t": "share", "precision": "exact"})
    for message in sending:
        phone = await Phone.resume(up, token)
        await phone.say(**message)
        assert await phone.closed() == 4508


async def test_nobody_acts_for_another_member_number(up: Up) -> None:
    session = new_session(up)
    ana = await Phone.join(up, session["sharable_token"], "Ana", precision="rough")
    eve = await Phone.join(up, session["sharable_token"], "Eve", role="host", m=1, you=1, user_id=1)
    assert eve.welcome["role"] == "member"
    forged = {"m": ana.welcome["you"], "you": ana.welcome["you"], "user_id": 1, "session": 1}
    await eve.fix(1.5, 2.5, **forged)
    (row,) = (await ana.until("positions"))["p"]
    assert row[0] == eve.welcome["you"]
    await eve.say(t="share", precision="private", **forged)
    assert (await ana.until("member", state="private"))["m"] == eve.welcome["you"]
    await eve.say(t="leave", **forged)
    assert (await ana.until("member", state="left"))["m"] == eve.welcome["you"]
    await ana.fix(1.5, 2.5)
    assert (await ana.until("positions"))["p"][0][0] == ana.welcome["you"]


async def test_another_session_is_not_there(up: Up) -> None:
    mine, theirs = new_session(up), new_session(up)
    ana = await Phone.join(up, mine["sharable_token"], "Ana")
    users = account(await user_of(up, mine["session"], 1)), account(await user_of(up, mine["session"], 2))
    calls = [("GET", "/members", None), ("GET", "/track", None), ("GET", "", None), *HOST_CALLS]
    guessed = [theirs["session"], theirs["session"] + 1000, 2**63 - 1]
    for bearer in (mine["host"]["member_token"], ana.welcome["member_token"], *users):
        for method, what, body in calls:
            found = {json.dumps(http(up, method, f"/v1/sessions/{id}{what}", body, bearer)) for id in guessed}
            assert len(found) == 1, "one that is there and one that is not differ"
            assert found.pop().startswith("[404")
    for odd in ("0", "-1", "1e3", "%31", "١", "1;2", "../1", str(2**63), "9" * 400):
        path = quote(f"/v1/sessions/{odd}", safe="/%;")
        assert http(up, "GET", path, token=mine["host"]["member_token"])[0] == 404 or odd == "%31"


# --- names ---------------------------------------------------------------------------------------------


NAMES = ["'; DROP TABLE users; --", "\\'; SELECT 1", "{s:1}:snap", "batch:0 * FLUSHALL", "$1 %s %(a)s", "${jndi:ldap://x}",
         "<script>alert(1)</script>", "]]></name><trk>", "&lt;&#0;", "../../etc/passwd", "=cmd|' /C calc'!A0",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467", "a" * 40, "\U0001f600" * 40, "e\u0301" * 20, "نازنین"]  # fmt: skip


async def test_names_are_only_text(up: Up) -> None:
    session = new_session(up)
    bo = await Phone.join(up, session["sharable_token"], "Bo")
    for name in NAMES:
        phone = await Phone.join(up, session["sharable_token"], name)
        assert (await bo.until("member", m=phone.welcome["you"]))["name"] == name
        seq = await phone.fix(37.5, 127.0, at=now_ms() - 6000)
    await phone.acked(seq)
    path = f"/v1/sessions/{session['session']}"
    _, members = http(up, "GET", f"{path}/members", token=bo.welcome["member_token"])
    assert [member["name"] for member in members["members"]] == ["Host", "Bo", *NAMES]
    bearer = {"Authorization": f"Bearer {bo.welcome['member_token']}", "Accept": "application/gpx+xml"}
    text = answered(up, "GET", f"{path}/track", **bearer)[2].decode()
    assert "<script>" not in text
    assert {track.name for track in gpxpy.parse(text).tracks} == set(NAMES)
    client = redis.Redis.from_url(up.stack.redis_url)
    keys = [key.decode() for key in client.scan_iter()]
    client.close()
    assert not [key for key in keys if not re.fullmatch(r"[\w{}:-]+", key)]
    assert await ask(up, "SELECT count(*) FROM users") > len(NAMES)


@pytest.mark.parametrize("name", ["", " ", "   ", "a" * 41, "\U0001f600" * 41, "a\0b", "a\nb", "a\x1b[31m", "\x7f", "\ud800", 7, None, ["a"]])  # fmt: skip
async def test_names_that_are_none(up: Up, name: Any) -> None:
    session = new_session(up)
    assert await code_of(up, t="join", token=session["sharable_token"], name=name) == 4500
    assert http(up, "POST", "/v1/sessions", {"display_name": name})[0] in (400, 422)


@pytest.mark.parametrize("name", ["\u202eanA", "\u200b", "Host\u2066", "A\u2028B", "\u0085x", "\ufeffHost"])
def test_a_name_cannot_turn_or_hide_text(name: str) -> None:
    with pytest.raises(DECODE_ERRORS):
        JSON.decode_client(json.dumps({"t": "join", "token": "x", "name": name}).encode())


# --- JWTs ------------------------------------------------------------------------------------------------


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_forged_jwts_say_nothing(up: Up) -> None:
    session = new_session(up)
    user = await user_of(up, session["session"], 1)
    path, good = f"/v1/sessions/{session['session']}", account(user)
    assert http(up, "GET", path, token=good)[0] == 200
    head, body, mark = good.split(".")
    claims = {"sub": str(user), "exp": time.time() + 600, "aud": AUDIENCE}
    forged = [
        *(f"{part({'alg': alg, 'typ': 'JWT'})}.{body}.{end}" for alg in ("none", "None", "") for end in ("", mark)),
        f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{body}.{mark}",
        f"{part({'alg': 'HS256', 'kid': '../../dev/null', 'jku': 'http://127.0.0.1:1/'})}.{body}.{mark}",
        *(jwt.encode(claims, key, algorithm="HS256", headers={"jwk": {"kty": "oct", "k": part({})}}) for key in ("x" * 32, "0" * 64)),
        jwt.encode(claims, SECRET * 2, algorithm="HS512"),
        jwt.encode(claims, SECRET * 2, algorithm="HS384"),
        f"{head}.{part(claims | {'sub': '1'})}.{mark}",
        f"{head}.{body}.",
        f"{head}.{body}.{mark[:-2]}",
        account(user, aud="others"),
        account(user, aud=[]),
        jwt.encode({key: claims[key] for key in ("sub", "exp")}, SECRET, algorithm="HS256"),
        jwt.encode({key: claims[key] for key in ("sub", "aud")}, SECRET, algorithm="HS256"),
        account(user, exp=time.time() - 1),
        account(user, nbf=time.time() + 600),
        *(account(user, sub=sub) for sub in (f" {user}", f"{user}.0", f"+{user}", "0", "-1", str(2**64 + user), f"{user}\n")),
        account(user + 10**6),
    ]  # fmt: skip
    for token in forged:
        assert http(up, "GET", path, token=token)[0] == 401, token.split(".")[0]
        assert await code_of(up, t="join", token=session["sharable_token"], name="Eve", user=token) == 4501
