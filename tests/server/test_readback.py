"""Tracks read back over HTTP: whole, cut, thinned, and never finer than is allowed now."""

from __future__ import annotations

from typing import Any

import gpxpy
import pytest

from server.grid import METRES_PER_DEGREE
from tests.server.http_api import (
    SEOUL,
    Api,
    Party,
    api_fixture,  # noqa: F401
    is_problem,
    now_ms,
)


async def walked(api: Api, steps: int = 60, **wanted: Any) -> tuple[Party, str, int]:
    start_ms = (now_ms() - 3_600_000) // 5000 * 5000
    party = await api.party(options={"started_at": start_ms, **wanted.pop("options", {})}, **wanted)
    member = await api.join(party)
    await api.walk(party, 2, start_ms, steps)
    return party, member, start_ms


async def test_a_track_is_a_line_with_its_times(api: Api) -> None:
    party, member, start_ms = await walked(api)
    for token in (party.host, member):
        answer = await api("GET", f"{party.path}/track", token)
        assert answer.headers["content-type"] == "application/geo+json"
        (feature,) = answer.json()["features"]
        assert feature["properties"]["m"] == 2
        assert feature["properties"]["times"] == [start_ms + 250 + 5000 * n for n in range(60)]
        assert feature["geometry"]["coordinates"][0] == [SEOUL[1], SEOUL[0]]


async def test_a_track_is_gpx_for_who_accepts_it(api: Api) -> None:
    party, _, start_ms = await walked(api)
    answer = await api("GET", f"{party.path}/track", party.host, headers={"Accept": "application/gpx+xml"})
    assert answer.headers["content-type"].startswith("application/gpx+xml")
    assert answer.headers["vary"] == "Accept"
    points = gpxpy.parse(answer.text).tracks[0].segments[0].points
    assert len(points) == 60
    assert points[0].time is not None
    assert points[0].time.timestamp() * 1000 == pytest.approx(start_ms + 250, abs=1)


async def test_a_track_is_cut_and_thinned(api: Api) -> None:
    party, _, start_ms = await walked(api)
    query = {"member": 2, "from": start_ms + 10_000, "to": start_ms + 200_000, "points": 5}
    (feature,) = (await api("GET", f"{party.path}/track", party.host, params=query)).json()["features"]
    times = feature["properties"]["times"]
    assert len(times) == 5
    assert times[0] == start_ms + 10_250
    assert times[-1] == start_ms + 195_250
    nobody = await api("GET", f"{party.path}/track", party.host, params={"member": 1})
    assert nobody.json() == {"type": "FeatureCollection", "features": []}


async def test_a_track_is_never_finer_than_is_allowed_now(api: Api) -> None:
    party, _, start_ms = await walked(api, steps=120)
    assert (await api("PATCH", party.path, party.host, json={"precision": "rough"})).status_code == 200
    (feature,) = (await api("GET", f"{party.path}/track", party.host)).json()["features"]
    properties, geometry = feature["properties"], feature["geometry"]
    assert properties["precision"] == "rough"
    assert all(at % 60_000 == 0 for at in properties["times"])
    assert all(accuracy == 354.0 for accuracy in properties["accuracy_m"])
    places = geometry["coordinates"] if geometry["type"] == "LineString" else [geometry["coordinates"]]
    walked_lats = {SEOUL[0] + n * 6e-5 for n in range(120)}
    assert not walked_lats & {lat for _, lat in places}
    assert len(set(map(tuple, places))) <= 2 + 120 * 6e-5 * METRES_PER_DEGREE // 500
    # Whatever part is asked for, the cells are the same: a reader cannot make the mask start elsewhere.
    part = {"from": start_ms + 180_000}
    (later,) = (await api("GET", f"{party.path}/track", party.host, params=part)).json()["features"]
    shown = set(zip(properties["times"], map(tuple, places), strict=True))
    cut = later["geometry"]
    cut_places = cut["coordinates"] if cut["type"] == "LineString" else [cut["coordinates"]]
    assert set(zip(later["properties"]["times"], map(tuple, cut_places), strict=True)) <= shown


async def test_a_private_member_has_no_track(api: Api) -> None:
    party, _, _ = await walked(api)
    await api("PATCH", party.path, party.host, json={"precision": "private"})
    answer = await api("GET", f"{party.path}/track", party.host)
    assert answer.json()["features"] == []


WRONG_QUERIES = [
    {"points": "1"},
    {"points": "1e9"},
    {"from": "yesterday"},
    {"from": "-1"},
    {"to": "9" * 30},
    {"member": "0"},
    {"member": "٣"},
    {"from": "2000", "to": "1000"},
]


async def test_a_wrong_query_is_named_and_not_repeated(api: Api) -> None:
    party = await api.party()
    for query in WRONG_QUERIES:
        answer = await api("GET", f"{party.path}/track", party.host, params=query)
        detail = is_problem(answer, 422)["detail"]
        assert any(f"`{name}`" in detail for name in query)
        assert "yesterday" not in detail


async def test_a_member_that_is_not_there_has_no_track(api: Api) -> None:
    party = await api.party()
    is_problem(await api("GET", f"{party.path}/track", party.host, params={"member": 7}), 404)
