"""A person's grid: cells nest, are square in metres, know their centre, and survive poles and antimeridian."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from server.grid import COARSEST, METRES_PER_DEGREE, SIDES, Cell, Grid, origin

KEY = bytes(range(32))

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
sides = st.sampled_from(SIDES)
grids = st.builds(lambda user: Grid(*origin(KEY, user)), st.integers(-(2**63), 2**63))


@given(grids, latitudes, longitudes, sides, sides)
def test_cells_nest(grid: Grid, lat: float, lon: float, a: int, b: int) -> None:
    fine, coarse = sorted((a, b))
    cell = grid.cell(lat, lon, fine)
    parent = grid.cell(lat, lon, coarse)
    assert cell.row // (coarse // fine) == parent.row
    assert cell.col // (coarse // fine) == parent.col
    assert grid.cell(*grid.centre(cell), coarse) == parent


@given(grids, latitudes, longitudes, sides)
def test_a_centre_is_a_place_inside_its_cell(grid: Grid, lat: float, lon: float, side: int) -> None:
    cell = grid.cell(lat, lon, side)
    centre = grid.centre(cell)
    assert -90 <= centre[0] <= 90
    assert -180 <= centre[1] < 180
    assert grid.cell(*centre, side) == cell
    assert grid.metres_outside(cell, *centre) == 0


@given(grids, latitudes, longitudes, sides)
def test_a_place_is_not_outside_of_its_own_cell(grid: Grid, lat: float, lon: float, side: int) -> None:
    assert grid.metres_outside(grid.cell(lat, lon, side), lat, lon) < 1e-4


@given(grids, st.floats(-80, 80), longitudes, sides)
def test_cells_are_square_within_one_percent_below_80_degrees(
    grid: Grid, lat: float, lon: float, side: int
) -> None:
    cell = grid.cell(lat, lon, side)
    mid_lat, mid_lon = grid.centre(cell)
    beside = grid.centre(Cell(side, cell.row, cell.col + 1))
    width = ((beside[1] - mid_lon) % 360) * METRES_PER_DEGREE * math.cos(math.radians(mid_lat))
    above = grid.centre(Cell(side, cell.row + 1, cell.col))
    height = (above[0] - mid_lat) * METRES_PER_DEGREE
    assert height == pytest.approx(side, rel=1e-6)
    assert width == pytest.approx(side, rel=0.01)


@given(grids, st.floats(-85, 85), longitudes, sides)
def test_no_cell_is_narrower_than_its_side(grid: Grid, lat: float, lon: float, side: int) -> None:
    # A narrow cell would hide less than it says; there is no cut one at the antimeridian either.
    cell = grid.cell(lat, lon, side)
    beside = grid.centre(Cell(side, cell.row, cell.col + 1))
    degrees = (beside[1] - grid.centre(cell)[1]) % 360
    assert degrees * METRES_PER_DEGREE * math.cos(math.radians(lat)) >= side * (1 - 1e-6)


@given(grids, st.floats(-85, 85), sides)
def test_the_antimeridian_is_a_place_like_any_other(grid: Grid, lat: float, side: int) -> None:
    assert grid.cell(lat, 180.0, side) == grid.cell(lat, -180.0, side)
    step = 100 / METRES_PER_DEGREE / math.cos(math.radians(lat))
    cell = grid.cell(lat, 180 - step / 2, side)
    # 100 m further east is at most 100 m outside (the scale is the band's, hence a little more).
    assert grid.metres_outside(cell, lat, -180 + step / 2) <= 102


@pytest.mark.parametrize("lat", [90.0, -90.0, math.nextafter(90.0, 0), 89.99, -89.97])
@pytest.mark.parametrize("lon", [-180.0, 180.0, 0.0, -0.0, math.nextafter(-180.0, -200)])
@given(grids, sides)
def test_poles_have_cells(lat: float, lon: float, grid: Grid, side: int) -> None:
    cell = grid.cell(lat, lon, side)
    centre = grid.centre(cell)
    assert grid.cell(*centre, side) == cell
    assert abs(centre[0] - lat) * METRES_PER_DEGREE <= side


@given(grids, st.floats(-80, 80), longitudes, sides, st.floats(-9000, 9000), st.floats(-9000, 9000))
def test_metres_outside_is_the_way_to_the_edge(
    grid: Grid, lat: float, lon: float, side: int, north: float, east: float
) -> None:
    cell = grid.cell(lat, lon, side)
    centre = grid.centre(cell)
    assume(abs(centre[0]) < 79.8)
    there = grid.moved(*centre, north, east)
    outside = max(abs(north) - side / 2, abs(east) - side / 2, 0.0)
    assert grid.metres_outside(cell, *there) == pytest.approx(outside, rel=0.01, abs=0.01)
    past_north, past_east = grid.beyond(cell, *there)
    assert past_north * north >= 0
    assert past_east * east >= 0


def test_two_users_have_unrelated_origins() -> None:
    origins = [origin(KEY, user) for user in range(2000)]
    assert all(0 <= part < COARSEST for pair in origins for part in pair)
    assert len(set(origins)) == 2000
    for axis in (0, 1):
        values = [pair[axis] for pair in origins]
        mean = sum(values) / 2000
        assert abs(mean - COARSEST / 2) < 150  # 6 standard errors
        neighbours = sum((a - mean) * (b - mean) for a, b in pairwise(values))
        spread = sum((a - mean) ** 2 for a in values)
        assert abs(neighbours / spread) < 0.15
    north_east = sum((n - 2000) * (e - 2000) for n, e in origins) / 2000 / (COARSEST**2 / 12)
    assert abs(north_east) < 0.15


def test_the_origin_depends_on_key_and_user_alone() -> None:
    assert origin(KEY, 7) == origin(KEY, 7)
    assert origin(KEY, 7) != origin(bytes(32), 7)


@pytest.mark.parametrize("key", [b"", bytes(65)])
def test_a_bad_key_is_refused_in_words(key: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        origin(key, 1)
