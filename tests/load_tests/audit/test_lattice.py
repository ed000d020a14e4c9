"""Centres of the server's own grid always fit; what is not a centre does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from load_tests.audit.lattice import Lattice
from server.grid import COARSEST, SIDES, Grid

offsets = st.floats(0, COARSEST, exclude_max=True)
sides = st.sampled_from(SIDES)
latitudes = st.floats(-85, 85)
longitudes = st.floats(-180, 180)
steps = st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(-0.5, 0.5)), min_size=1, max_size=8)


@given(offsets, offsets, sides, latitudes, longitudes, steps)
def test_centres_fit(
    north: float, east: float, side: int, lat: float, lon: float, walk: list[tuple[float, float]]
) -> None:
    grid, lattice = Grid(north, east), Lattice(side)
    for up, right in [(0.0, 0.0), *walk]:
        assert lattice.fits(*grid.centre(grid.cell(lat + up, lon + right, side)))


@given(offsets, offsets, sides, latitudes, longitudes, steps, st.sampled_from([(1, 0), (0, 1), (1, 1)]))
def test_what_is_a_metre_beside_a_centre_does_not_fit(
    north: float,
    east: float,
    side: int,
    lat: float,
    lon: float,
    walk: list[tuple[float, float]],
    beside: tuple[int, int],
) -> None:
    grid, lattice = Grid(north, east), Lattice(side)
    centre = grid.centre(grid.cell(lat, lon, side))
    assert lattice.fits(*centre)
    shift = side / 111_320 / 250
    assert not lattice.fits(centre[0] + shift * beside[0], centre[1] + 3 * shift * beside[1])
    assert lattice.fits(*centre), "it has changed nothing"


def test_a_pole_fits() -> None:
    assert Lattice(500).fits(90.0, 0.0)
