"""The way of a fix, through the real processes: joined, seen within a tick, stored once, acked."""

from __future__ import annotations

from server.up import Up
from tests.e2e.conftest import Phone, http, new_session, now_ms, rows

SEOUL = (37.5759, 126.9769)


async def test_a_fix_is_seen_by_the_party_then_stored_then_acked(up: Up) -> None:
    session = new_session(up)
    ana = await Phone.join(up, session["sharable_token"], "Ana")
    bo = await Phone.join(up, session["sharable_token"], "Bo")
    at = now_ms()
    seq = await ana.fix(*SEOUL, at=at, acc=5)
    seen = await bo.until("positions")
    assert seen["p"] == [[ana.welcome["you"], at, *SEOUL, 5.0, None, None]]
    await ana.acked(seq)
    (row,) = await rows(up, session["session"])
    assert (row["lat"], row["lon"], row["accuracy_m"], row["precision"]) == (*SEOUL, 5.0, "exact")
    assert row["start_ms"] + row["fix_offset_ms"] == at
    assert row["start_ms"] % 5000 == 0
    await ana.close()
    await bo.close()


async def test_a_late_joiner_sees_where_everybody_is(up: Up) -> None:
    session = new_session(up)
    ana = await Phone.join(up, session["sharable_token"], "Ana")
    await ana.fix(*SEOUL)
    await ana.until("positions")
    late = await Phone.join(up, session["sharable_token"], "Late")
    assert [row[2:4] for row in late.welcome["positions"]] == [list(SEOUL)]
    assert {member["name"]: member["state"] for member in late.welcome["members"]} == {
        "Host": "offline",
        "Ana": "live",
        "Late": "live",
    }


async def test_the_same_fixes_again_make_not_one_row_more(up: Up) -> None:
    session = new_session(up)
    ana = await Phone.join(up, session["sharable_token"])
    start = now_ms() - 30_000
    items = [{"seq": n, "at": start + n * 1000, "lat": 37.5 + n / 1000, "lon": 127.0} for n in range(1, 25)]
    await ana.say(t="fixes", items=items)
    await ana.acked(24)
    before = await rows(up, session["session"])
    again = await Phone.resume(up, ana.welcome["member_token"])
    await again.say(t="fixes", items=items)
    await again.acked(24)
    assert await rows(up, session["session"]) == before
    assert [row["start_ms"] for row in before] == sorted(
        {(start + n * 1000) // 5000 * 5000 for n in range(1, 25)}
    )
    assert await ana.closed() == 4507


async def test_a_tightening_holds_when_the_host_hears_of_it(up: Up) -> None:
    session = new_session(up)
    host = await Phone.resume(up, session["host"]["member_token"])
    ana = await Phone.join(up, session["sharable_token"])
    await ana.fix(*SEOUL)
    await host.until("positions")
    status, _ = http(
        up,
        "PATCH",
        f"/v1/sessions/{session['session']}",
        {"precision": "rough"},
        session["host"]["member_token"],
    )
    assert status == 200
    assert (await host.until("precision"))["precision"] == "rough"
    seq = await ana.fix(*SEOUL)
    ((_, at, lat, lon, acc, spd, hdg),) = (await host.until("positions"))["p"]
    assert at % 60_000 == 0
    assert (lat, lon) != SEOUL
    assert acc >= 353
    assert spd is hdg is None
    await ana.acked(seq)
    stored = await rows(up, session["session"])
    assert [row["precision"] for row in stored if row["start_ms"] % 60_000 == 0][-1:] == ["rough"]


async def test_private_shows_and_stores_nothing_and_is_still_acked(up: Up) -> None:
    session = new_session(up, precision="private")
    ana = await Phone.join(up, session["sharable_token"])
    bo = await Phone.join(up, session["sharable_token"], "Bo")
    seq = await ana.fix(*SEOUL)
    await ana.acked(seq)
    await bo.close()
    assert not [message for message in bo.seen if message["t"] == "positions"]
    assert bo.welcome["positions"] == []
    assert {m["state"] for m in bo.welcome["members"] if m["name"] != "Host"} == {"private"}
    assert await rows(up, session["session"]) == []


async def test_the_host_kicks_and_ends(up: Up) -> None:
    session = new_session(up)
    host = await Phone.resume(up, session["host"]["member_token"])
    ana = await Phone.join(up, session["sharable_token"])
    bo = await Phone.join(up, session["sharable_token"], "Bo")
    await host.say(t="kick", m=ana.welcome["you"])
    assert await ana.closed() == 4502
    assert (await bo.until("member", m=ana.welcome["you"], state="left"))["name"] == "Ana"
    again = await Phone.open(up)
    await again.say(t="resume", token=ana.welcome["member_token"])
    assert await again.closed() in (4501, 4502)
    await host.say(t="end")
    assert (await bo.until("ended"))["reason"]
    assert await bo.closed() == 4503


async def test_loosening_asks_each_member(up: Up) -> None:
    session = new_session(up, precision="rough")
    host = await Phone.resume(up, session["host"]["member_token"])
    ana = await Phone.join(up, session["sharable_token"])
    await ana.fix(*SEOUL)
    await host.until("positions")
    await host.say(t="set_precision", precision="exact")
    await host.until("precision", precision="exact")
    await ana.fix(*SEOUL, at=now_ms() + 59_000)  # the next beat, so that there is something to show
    ((_, at, *_rest),) = (await host.until("positions"))["p"]
    assert at % 60_000 == 0, "loosened by the host alone"
    await ana.say(t="share", precision="exact")
    at = now_ms() + 59_500
    await ana.fix(*SEOUL, at=at)
    assert (await host.until("positions"))["p"][0][1:4] == [at, *SEOUL]
