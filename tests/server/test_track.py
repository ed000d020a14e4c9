"""Tracks: thinned evenly, then written as GeoJSON or GPX that others can read."""

from __future__ import annotations

import json

import gpxpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.precision import Precision
from server.masking import Position
from server.track import MemberTrack, Thinned, geojson, gpx, prefers_gpx


def position(at: int, lat: float = 37.5, lon: float = 127.0, acc: float | None = 5.0) -> Position:
    return Position(at, lat, lon, acc, None, None, Precision.EXACT)


def track(*points: Position, name: str = "Ana", precision: Precision = Precision.EXACT) -> MemberTrack:
    return MemberTrack(2, name, precision, points)


@given(count=st.integers(0, 3000), most=st.integers(2, 200))
def test_thinning_keeps_order_ends_and_bound(count: int, most: int) -> None:
    thinned = Thinned(most)
    for at in range(count):
        thinned.add(position(at))
        assert len(thinned._kept) <= 2 * most
    times = [point.at for point in thinned.points()]
    assert len(times) == min(count, most)
    assert times == sorted(set(times))
    if count:
        assert times[0] == 0
        assert times[-1] == count - 1
    if count <= most:
        assert times == list(range(count))


def test_thinning_needs_room_for_both_ends() -> None:
    with pytest.raises(ValueError, match="two points"):
        Thinned(1)


def test_geojson_has_a_line_for_each_member_with_points() -> None:
    document = json.loads(
        geojson(
            [track(position(1), position(2, 37.6, 127.1, None)), track(name="Nobody"), track(position(3))]
        )
    )
    line, point = document["features"]
    assert document["type"] == "FeatureCollection"
    assert line["type"] == "Feature"
    assert line["geometry"] == {"type": "LineString", "coordinates": [[127.0, 37.5], [127.1, 37.6]]}
    assert line["properties"] == {
        "m": 2, "name": "Ana", "precision": "exact", "times": [1, 2], "accuracy_m": [5.0, None],
    }  # fmt: skip
    assert point["geometry"] == {"type": "Point", "coordinates": [127.0, 37.5]}


def test_gpx_is_read_by_others() -> None:
    text = gpx([track(position(1_700_000_000_250), position(1_700_000_005_000)), track()])
    read = gpxpy.parse(text)
    assert read.version == "1.1"
    (line,) = read.tracks
    assert (line.name, line.number) == ("Ana", 2)
    (segment,) = line.segments
    assert [(point.latitude, point.longitude) for point in segment.points] == [(37.5, 127.0)] * 2
    times = [point.time.timestamp() for point in segment.points if point.time is not None]
    assert times == pytest.approx([1_700_000_000.25, 1_700_000_005.0])


@given(name=st.text(min_size=1, max_size=40))
def test_any_name_makes_well_formed_gpx(name: str) -> None:
    assert len(gpxpy.parse(gpx([track(position(1), name=name)])).tracks) == 1


def test_gpx_says_that_a_rough_track_is_rough() -> None:
    assert "rough" in gpx([track(position(60_000), precision=Precision.ROUGH)])


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        ("", False),
        ("*/*", False),
        ("application/gpx+xml", True),
        ("application/gpx+xml;q=0.5, application/geo+json", False),
        ("application/gpx+xml, application/json;q=0.9", True),
        ("application/gpx+xml;q=0", False),
        ("application/*", False),
        (";;;q=,,,=", False),
    ],
)
def test_gpx_is_only_for_who_prefers_it(accept: str, wants: bool) -> None:
    assert prefers_gpx(accept) is wants


@given(st.text())
def test_no_accept_header_is_an_error(accept: str) -> None:
    assert prefers_gpx(accept) in (True, False)
