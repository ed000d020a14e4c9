"""GET …/summary: for the host alone, as finely as allowed now, and what bad input gets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db import summaries
from protocol.precision import Precision
from server.summary import Summaries
from tests.server.http_api import (
    Api,
    api_fixture,  # noqa: F401
    is_problem,
    now_ms,
    user_token,
)

HOUR_MS = 3_600_000


def an_hour_ago() -> int:
    return (now_ms() - HOUR_MS) // 60_000 * 60_000


async def party_on_foot(api: Api, **wanted: Any) -> tuple[Any, int]:
    """A party of yesterday with a guest who walked for a minute, paused for two, and walked on."""
    party = await api.party(**{"options": {"started_at": now_ms() - 24 * HOUR_MS}, **wanted})
    await api.join(party)
    start = an_hour_ago()
    await api.walk(party, 2, start, 12)
    await api.walk(party, 2, start + 180_000, 6)
    return party, start


async def make_trip(api: Api, user_id: int | None = None) -> int:
    trip: int = await api.superuser.fetchval(
        "INSERT INTO trips (user_id, duration_min, mode) VALUES ($1, 60, 'walk') RETURNING id", user_id
    )
    await api.superuser.execute(
        "WITH p AS (INSERT INTO places (name, category, geo) VALUES ('Gate', 'sight', "
        "'SRID=4326;POINT(126.9779 37.5663)') RETURNING id) "
        "INSERT INTO trip_nodes (trip_id, place_id, sequence, planned_stay_min) SELECT $1, id, 1, 15 FROM p",
        trip,
    )
    return trip


async def test_the_host_sees_what_the_members_did(api: Api) -> None:
    party, start = await party_on_foot(api, trip_id=await make_trip(api))
    answer = await api("GET", f"{party.path}/summary", party.host)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    summary = answer.json()
    (member,) = summary["members"]
    assert (member["m"], member["name"], member["precision"]) == (2, "Ana", "exact")
    assert member["fixes"] == 18
    assert (member["first_at"], member["last_at"]) == (start + 250, start + 180_250 + 25_000)
    assert member["live_s"] == (55 + 30) + (25 + 30)
    assert member["gap_count"] == 1
    assert member["gaps"] == [{"from": start + 250 + 85_000, "to": start + 250 + 180_000}]
    assert member["mean_accuracy_m"] == 5.0
    assert member["distance_m"] == pytest.approx(16 * 6.67, abs=0.5)
    (gate,) = member["spots"]
    assert (gate["sequence"], gate["place"], gate["planned_stay_min"]) == (1, "Gate", 15)
    assert (gate["arrived_at"], gate["left_at"]) == (start + 250, start + 180_250 + 25_000)
    assert gate["stay_s"] == 55 + 25
    assert gate["nearest_m"] == 0
    delay = summary["delay_ms"]
    assert delay["n"] == 18
    # Between the newest fix and the oldest one, which was an hour and up to a minute ago.
    assert HOUR_MS - 240_000 < delay["p50"] <= delay["p95"] <= delay["p99"] < HOUR_MS + 120_000


async def test_it_is_there_after_the_end_and_gone_with_the_rows(api: Api) -> None:
    party, _ = await party_on_foot(api)
    before = (await api("GET", f"{party.path}/summary", party.host)).json()
    assert (await api("DELETE", party.path, party.host)).status_code == 204
    assert (await api("GET", f"{party.path}/summary", party.host)).json() == before
    await api.superuser.execute("UPDATE party_positions SET ttl_expired = true")
    after = (await api("GET", f"{party.path}/summary", party.host)).json()
    assert after == {"members": [], "delay_ms": {"p50": None, "p95": None, "p99": None, "n": 0}}


async def test_only_the_host_may_ask(api: Api) -> None:
    party, _ = await party_on_foot(api)
    foreign, member = await api.party(), await api.join(party, "Bo")
    path = f"{party.path}/summary"
    is_problem(await api("GET", path), 401)
    is_problem(await api("GET", path, "x" * 43), 401)
    is_problem(await api("GET", path, member), 403)
    theirs = is_problem(await api("GET", path, foreign.host), 404)
    assert is_problem(await api("GET", "/v1/sessions/999999999/summary", foreign.host), 404) == theirs
    is_problem(await api("POST", path, party.host), 405)


async def test_members_can_be_chosen(api: Api) -> None:
    party, start = await party_on_foot(api)
    await api.walk(party, 1, start, 3)
    path = f"{party.path}/summary"
    assert [m["m"] for m in (await api("GET", path, party.host)).json()["members"]] == [1, 2]
    only = (await api("GET", f"{path}?member=1", party.host)).json()
    assert [m["m"] for m in only["members"]] == [1]
    assert only["delay_ms"]["n"] == 3
    is_problem(await api("GET", f"{path}?member=3", party.host), 404)
    is_problem(await api("GET", f"{path}?member=x", party.host), 422)


async def test_a_tightening_leaves_times_and_no_place(api: Api) -> None:
    party, start = await party_on_foot(api, trip_id=await make_trip(api))
    await api("PATCH", party.path, party.host, json={"precision": "rough"})
    summary = (await api("GET", f"{party.path}/summary", party.host)).json()
    (member,) = summary["members"]
    assert (member["precision"], member["fixes"]) == ("rough", 2)
    assert (member["first_at"], member["last_at"]) == (start, start + 180_000)
    assert member["gaps"] == [{"from": start + 90_000, "to": start + 180_000}]
    assert (member["mean_accuracy_m"], member["distance_m"], member["spots"]) == (None, None, [])
    assert summary["delay_ms"]["n"] == 0
    await api("PATCH", party.path, party.host, json={"precision": "private"})
    assert (await api("GET", f"{party.path}/summary", party.host)).json()["members"] == []


async def test_who_tightens_meanwhile_is_not_told_of_more_finely(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    party, start = await party_on_foot(api)
    really, asked = summaries.summary, 0

    async def tightened_after(*arguments: Any, **named: Any) -> Any:
        nonlocal asked
        asked += 1
        found = await really(*arguments, **named)
        if asked == 1:  # after the answer was made, before it is given
            await api.gateway.steering.set_session_precision(party.id, Precision.ROUGH)
        return found

    monkeypatch.setattr(summaries, "summary", tightened_after)
    summary = await Summaries(api.gateway.pool).summary(party.id, frozenset())
    assert asked == 2
    (member,) = summary.members
    assert (member.precision, member.first_at, member.distance_m) == (Precision.ROUGH, start, None)


async def test_what_takes_too_long_names_the_mend(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    party, _ = await party_on_foot(api)
    monkeypatch.setattr("server.summary.SUMMARY_S", 0.0)
    problem = is_problem(await api("GET", f"{party.path}/summary", party.host), 503)
    assert "`member`" in problem["detail"]


async def test_summaries_take_turns(api: Api) -> None:
    party, _ = await party_on_foot(api)
    calls = (api("GET", f"{party.path}/summary", party.host) for _ in range(5))
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


async def test_a_session_is_on_a_recommended_trip_or_the_hosts_own(api: Api) -> None:
    make = "INSERT INTO users (location_opt_in) VALUES (true) RETURNING id"
    host, other = await api.superuser.fetchval(make), await api.superuser.fetchval(make)
    own, foreign, recommended = [await make_trip(api, user) for user in (host, other, None)]
    for trip in (own, recommended):
        answer = await api(
            "POST", "/v1/sessions", user_token(host), json={"display_name": "H", "trip_id": trip}
        )
        stored = await api.superuser.fetchval(
            "SELECT trip_id FROM party_sessions WHERE id = $1", answer.json()["session"]
        )
        assert stored == trip
    unlike = set()
    for trip in (foreign, 10**15):
        body = {"display_name": "H", "trip_id": trip}
        problem = is_problem(await api("POST", "/v1/sessions", user_token(host), json=body), 422)
        assert "trip_id" in problem["detail"]
        unlike.add(problem["detail"])
        is_problem(await api("POST", "/v1/sessions", json=body), 422)  # as a guest
    assert len(unlike) == 1  # somebody else's trip and none at all are the same
    for wrong in (0, -1, 2**63, "1", 1.5, True):
        is_problem(await api("POST", "/v1/sessions", json={"display_name": "H", "trip_id": wrong}), 422)
    # Nobody was made in vain: host, other, and no guest.
    assert await api.superuser.fetchval("SELECT count(*) FROM users") == 2
    assert await api.superuser.fetchval("SELECT count(*) FROM party_sessions") == 2
