"""Bad input costs its sender only (G8): the designed reject or close code, and the party does not notice."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from server.up import Up
from tests.e2e.conftest import Phone, http, new_session, now_ms


def fix(**changes: Any) -> str:
    return json.dumps({"t": "fix", "seq": 1, "at": now_ms(), "lat": 37.5, "lon": 127.0} | changes)


FRAMES = {
    "no JSON": "¬",
    "no message": "{}",
    "unknown tag": '{"t":"fly","seq":1}',
    "missing key": '{"t":"fix","seq":1,"at":1,"lat":1}',
    "NaN": fix().replace("37.5", "NaN"),
    "a number too large": fix().replace("37.5", "1e999"),
    "deep nesting": "[" * 20_000,
    "501 fixes": json.dumps(
        {"t": "fixes", "items": [{"seq": n, "at": 1, "lat": 1, "lon": 1} for n in range(501)]}
    ),
    "a second join": '{"t":"join","token":"x","name":"Again"}',
    "bytes on the JSON subprotocol": b"\x81\xa1t\xa3fix",
}


@pytest.mark.parametrize("what", FRAMES)
async def test_a_bad_frame_closes_its_sender_and_nobody_else(up: Up, what: str) -> None:
    session = new_session(up)
    good = await Phone.join(up, session["sharable_token"], "Good")
    bad = await Phone.join(up, session["sharable_token"], "Bad")
    await bad.socket.send(FRAMES[what])
    assert await bad.closed() == 4500
    assert bad.seen[-1]["t"] == "error" or what.startswith("bytes")
    await good.fix(37.5, 127.0, at=now_ms() - 6000)  # a window that closes soon
    await good.until("positions")
    assert (await good.until("ack"))["seq"] == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lat": 91.0}, "range"),
        ({"lon": -180.5}, "range"),
        ({"at": 0}, "too_old"),
        ({"at": 2**52}, "future"),
        ({"lat": 1e308}, "range"),
    ],
)
async def test_a_bad_fix_is_rejected_and_the_connection_stays(
    up: Up, changes: dict[str, Any], code: str
) -> None:
    session = new_session(up)
    phone = await Phone.join(up, session["sharable_token"])
    await phone.socket.send(fix(**changes))
    assert await phone.until("reject") == {"t": "reject", "seq": 1, "code": code}
    await phone.socket.send(fix(seq=2, at=now_ms() - 6000))
    await phone.acked(2)


async def test_a_fix_in_an_hour_is_rejected(up: Up) -> None:
    phone = await Phone.join(up, new_session(up)["sharable_token"])
    await phone.fix(37.5, 127.0, at=now_ms() + 3_600_000)
    assert (await phone.until("reject"))["code"] == "future"


async def test_65_kib_is_too_large(up: Up) -> None:
    phone = await Phone.join(up, new_session(up)["sharable_token"])
    await phone.socket.send("x" * (65 * 1024))
    assert await phone.closed() == 4506


async def test_a_fix_before_join(up: Up) -> None:
    phone = await Phone.open(up)
    await phone.socket.send(fix())
    assert await phone.closed() == 4500


async def test_a_text_frame_on_msgpack(up: Up) -> None:
    phone = await Phone.open(up, "partyline.v1.msgpack")
    await phone.socket.send("{}")
    assert await phone.socket.wait_closed() is None
    assert phone.socket.close_code == 4500


async def test_nobody_joins_within_5_seconds(up: Up) -> None:
    phone = await Phone.open(up)
    assert await phone.closed() == 4505


async def test_tokens_that_do_not_let_in(up: Up) -> None:
    session, foreign = new_session(up), new_session(up)
    rotated = session["sharable_token"]
    host = session["host"]["member_token"]
    path = f"/v1/sessions/{session['session']}"
    status, answer = http(up, "POST", f"{path}/token", {}, host)
    assert status == 200
    assert answer["sharable_token"] != rotated
    expired = new_session(up, token_expires_at=now_ms() - 1000)
    used = new_session(up, token_max_uses=1)
    await Phone.join(up, used["sharable_token"])
    wrong = (
        "",
        "x",
        secrets.token_urlsafe(16),
        rotated,
        host,
        expired["sharable_token"],
        used["sharable_token"],
    )
    for token in wrong:
        phone = await Phone.open(up)
        await phone.say(t="join", token=token, name="Eve")
        assert await phone.closed() == 4501
    for token in ("", answer["sharable_token"], secrets.token_urlsafe(32)):
        phone = await Phone.open(up)
        await phone.say(t="resume", token=token)
        assert await phone.closed() == 4501
    status, _ = http(up, "GET", path, token=foreign["host"]["member_token"])
    assert status == 404


async def test_a_full_and_an_ended_session(up: Up) -> None:
    session = new_session(up, max_members=2)
    await Phone.join(up, session["sharable_token"])
    phone = await Phone.open(up)
    await phone.say(t="join", token=session["sharable_token"], name="Third")
    assert await phone.closed() == 4504
    status, _ = http(
        up, "DELETE", f"/v1/sessions/{session['session']}", token=session["host"]["member_token"]
    )
    assert status == 204
    phone = await Phone.open(up)
    await phone.say(t="join", token=session["sharable_token"], name="Late")
    assert await phone.closed() == 4503


async def test_a_member_cannot_act_as_host(up: Up) -> None:
    session = new_session(up)
    for message in ({"t": "set_precision", "precision": "private"}, {"t": "kick", "m": 1}, {"t": "end"}):
        phone = await Phone.join(up, session["sharable_token"])
        await phone.say(**message)
        assert await phone.closed() == 4508


async def test_the_log_names_the_code_and_nothing_of_the_content(up: Up) -> None:
    session = new_session(up)
    phone = await Phone.join(up, session["sharable_token"], "Xavier")
    await phone.socket.send('{"t":"fix","secret-marker":37.123456}')
    assert await phone.closed() == 4500
    log = (up.data_dir / "gateway.log").read_text()
    assert "bad_frame" in log
    for content in (
        "secret-marker",
        "37.1234",
        "Xavier",
        session["sharable_token"],
        phone.welcome["member_token"],
    ):
        assert content not in log
