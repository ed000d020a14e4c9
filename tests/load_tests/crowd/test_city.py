"""A city's plane keeps lengths, its box keeps what is inside; a box that is none says what to give."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from load_tests.crowd.city import MAX_SIDE_M, METRES_PER_DEGREE, MIN_SIDE_M, SEOUL, WIDEST, City


def sphere_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The haversine formula: metres between two places on a sphere."""
    (lat_a, lon_a), (lat_b, lon_b) = ((math.radians(lat), math.radians(lon)) for lat, lon in (a, b))
    chord = (
        math.sin((lat_b - lat_a) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    )
    return 2 * math.degrees(METRES_PER_DEGREE) * math.asin(math.sqrt(chord))


@st.composite
def cities(draw: st.DrawFn) -> City:
    """Boxes of every allowed size and latitude."""
    south = draw(st.floats(-74, 73))
    high = draw(st.floats(MIN_SIDE_M * 1.05, MAX_SIDE_M * 0.9))
    wide = draw(st.floats(MIN_SIDE_M * 1.05, MAX_SIDE_M * 0.9))
    north = south + high / METRES_PER_DEGREE
    width = wide / METRES_PER_DEGREE / math.cos(math.radians((south + north) / 2))
    west = draw(st.floats(-180, 179))
    assume(west + width <= 180)
    return City("anywhere", south, west, north, west + width)


@given(cities(), *[st.floats(-1, 1)] * 4)
def test_the_plane_keeps_lengths_and_the_box_what_is_held(
    city: City, x: float, y: float, dx: float, dy: float
) -> None:
    a = city.held((x * city.width_m, y * city.height_m))
    b = city.held((a[0] + 500 * dx, a[1] + 500 * dy))
    assert city.inside(a) and city.inside(b)
    assert city.contains(*city.degrees(a)) and city.contains(*city.degrees(b))
    straight = sphere_m(city.degrees(a), city.degrees(b))
    assert straight <= math.dist(a, b) * WIDEST + 0.01
    assert math.dist(a, b) <= straight * WIDEST + 0.01


def test_what_lies_outside_is_not_contained() -> None:
    assert SEOUL.contains(37.5663, 126.9779)
    assert not SEOUL.contains(37.4, 126.9779) and not SEOUL.contains(37.5663, 127.2)
    assert not SEOUL.inside((SEOUL.width_m / 2, 0.0))


def test_a_jump_over_the_date_line_stays_a_longitude() -> None:
    fiji = City("Taveuni", -16.95, 179.9, -16.9, 180.0)
    lat, lon = fiji.degrees((20_000.0, 0.0))
    assert -180 <= lon < -179 and -17 < lat < -16


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((37.6, 126.9, 37.5, 127.1), "south < north"),
        ((37.5, 127.1, 37.6, 126.9), "west < east"),
        ((79.0, 10.0, 79.5, 12.0), "within 75"),
        ((math.nan, 126.9, 37.6, 127.1), "south < north"),
        ((37.5, 126.9, 37.501, 127.1), "2 to 120 km"),
        ((30.0, 120.0, 45.0, 130.0), "2 to 120 km"),
    ],
)
def test_a_box_that_will_not_do_says_what_to_give(box: tuple[float, float, float, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        City("nowhere", *box)
