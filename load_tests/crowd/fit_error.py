"""How wrong receivers are, taken from recordings: prints the numbers of `gps_error`. Changes nothing.

Several devices rode on one bicycle (`whitchurch-multidevice`). What two of them say at the same time differs
by both their errors, and nothing else but their clocks. A clock that is off moves a rider along the way, so
only the part across the way is used. For errors that are alike in all directions, with course n(t) across
the way and difference c(t) = e(t)·n(t):  E[c(t) c(t+l)] = C(l) n(t)·n(t+l), so

    C(l) = sum c(t) c(t+l) cos θ / sum cos² θ      with θ the turn of the course between t and t+l.

The variance of each device follows from those of all pairs (the three-cornered hat: Gray and Allan, A
method for estimating the frequency stability of an individual oscillator, 1974). What all devices have wrong
together (the atmosphere, a metre or two) does not show in differences.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from load_tests.crowd.fit_jumps import Jumps, find_jumps
from load_tests.readings import Track, TrackError
from load_tests.tracks import read_tracks

RIDE = "whitchurch-multidevice.ndjson.gz"
JUMPY = ("helsinki-trafficsense.ndjson.gz", "sfbay-emission.ndjson.gz")
DEVICES = ("motog3", "xiaomi", "garmin-edge-605", "lezyne")
"""Two phones and two loggers that report every 1 to 3 s; the others are too sparse."""
PHONES = ("motog3", "xiaomi")
LAGS_S = (1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 240, 300)
MAX_GAP_S = 3.0
"""Positions in between are interpolated only over so much."""
MOVING_MS = 2.0
"""Slower than this a course is not known."""
CLOCKS_S = tuple(step / 2 for step in range(-8, 9))
"""What the clock of one device may be ahead of another's."""
METRES_PER_DEGREE = math.radians(6_371_008.8)
QUICK_S = tuple(4 * 1.12**step for step in range(50))
SLOW_S = tuple(60 * 1.12**step for step in range(30))

Point = tuple[float, float, float]
"""Seconds, metres north, metres east."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the pairs of devices say: covariances in square metres, by lag; tails by kurtosis."""

    variances: dict[tuple[str, str], float]
    correlation: tuple[float, ...]
    """At `LAGS_S`, pooled over all pairs."""
    kurtosis: float
    restless: tuple[float, ...]
    """Autocorrelation of the squared difference at `LAGS_S`: how long a bad stretch lasts."""


@dataclass(frozen=True, slots=True)
class Decay:
    """`quick` exp(-l/quick_s) + `slow` exp(-l/slow_s); the rest of 1 is gone at once."""

    quick: float
    quick_s: float
    slow: float
    slow_s: float
    rms: float
    """Root mean square of what the fit leaves."""

    def at(self, lag_s: float) -> float:
        """The correlation after `lag_s` seconds."""
        return self.quick * math.exp(-lag_s / self.quick_s) + self.slow * math.exp(-lag_s / self.slow_s)


@dataclass(frozen=True, slots=True)
class Unrest:
    """The size of errors is exp(`spread` z), and z keeps for `time_s`."""

    spread: float
    time_s: float

    def kept(self, lag_s: float) -> float:
        """What varying sizes leave of a correlation after `lag_s` seconds: E[g g'] / E[g²]."""
        return math.exp(-(self.spread**2) * (1 - math.exp(-lag_s / self.time_s)))

    def of_squares(self, lag_s: float, rho: float) -> float:
        """The correlation of squared errors whose own correlation without sizes is `rho`."""
        top = 4 * self.spread**2
        again = math.exp(top * math.exp(-lag_s / self.time_s)) * (1 + 2 * rho * rho)
        return (again - 1) / (3 * math.exp(top) - 1)


def agreement(tracks: Sequence[Track]) -> Agreement:
    """What the pairs of `DEVICES` say of each other. Raises `ValueError` when one is not among the tracks."""
    by_name = {track.member: track for track in tracks}
    if missing := set(DEVICES) - set(by_name):
        raise ValueError(f"there is no track of {', '.join(sorted(missing))}")
    lat, lon = (by_name[DEVICES[0]].readings[0].lat, by_name[DEVICES[0]].readings[0].lon)
    lines = {name: _on_plane(by_name[name], lat, lon) for name in DEVICES}
    across = {(a, b): _across(lines[a], lines[b]) for a, b in combinations(DEVICES, 2)}
    variances = {pair: sum(c * c for c, _ in found.values()) / len(found) for pair, found in across.items()}
    fourth = [
        (sum(c**4 for c, _ in found.values()) / len(found)) / variances[pair] ** 2
        for pair, found in across.items()
    ]
    pooled = [sum(_covariance(found, lag) for found in across.values()) for lag in LAGS_S]
    restless = [sum(_squares(found, lag) for found in across.values()) / len(across) for lag in LAGS_S]
    total = sum(variances.values())
    return Agreement(
        variances, tuple(one / total for one in pooled), sum(fourth) / len(fourth), tuple(restless)
    )


def single_sigmas(variances: dict[tuple[str, str], float]) -> dict[str, float]:
    """Each device's own standard deviation on an axis, metres, by the three-cornered hat."""
    count = len(DEVICES)
    total = sum(variances.values()) / (count - 1)
    sums = {name: sum(v for pair, v in variances.items() if name in pair) for name in DEVICES}
    return {name: math.sqrt(max(0.0, (one - total) / (count - 2))) for name, one in sums.items()}


def fit_unrest(kurtosis: float, restless: Sequence[float], correlation: Sequence[float]) -> Unrest:
    """How much the size of errors itself varies, and for how long it stays so.

    With errors of size exp(v z(t)), z normal with variance 1 and correlation r(l) = exp(-l/time), and the
    same for both devices since they are at the same place:  kurtosis = 3 exp(4v²), and the squares have the
    correlation (exp(4v² r) (1 + 2ρ²) - 1) / (3 exp(4v²) - 1), with ρ that of the errors without their sizes.
    """
    spread = math.sqrt(max(0.0, math.log(kurtosis / 3)) / 4)

    def left(time_s: float) -> float:
        unrest = Unrest(spread, time_s)
        return sum(
            (unrest.of_squares(lag, rho / unrest.kept(lag)) - seen) ** 2
            for lag, seen, rho in zip(LAGS_S, restless, correlation, strict=True)
        )

    return Unrest(spread, min(QUICK_S, key=left))


def fit_decay(correlation: Sequence[float], *, two: bool) -> Decay:
    """The least squares fit of one or two exponentials to the correlation at `LAGS_S`, by trial of times."""
    tries = ((q, s) for q in QUICK_S for s in (SLOW_S if two else (math.inf,)) if q < s)
    return min((_weighed(correlation, q, s) for q, s in tries), key=lambda decay: decay.rms)


def _weighed(correlation: Sequence[float], quick_s: float, slow_s: float) -> Decay:
    quick = [math.exp(-lag / quick_s) for lag in LAGS_S]
    slow = [math.exp(-lag / slow_s) if slow_s < math.inf else 0.0 for lag in LAGS_S]
    qq, ss = sum(q * q for q in quick), sum(s * s for s in slow)
    qs = sum(q * s for q, s in zip(quick, slow, strict=True))
    qy = sum(q * y for q, y in zip(quick, correlation, strict=True))
    sy = sum(s * y for s, y in zip(slow, correlation, strict=True))
    determinant = qq * ss - qs * qs
    a, b = ((qy * ss - sy * qs) / determinant, (sy * qq - qy * qs) / determinant) if ss else (qy / qq, 0.0)
    a, b = max(0.0, a), max(0.0, b)
    a, b = a / max(1.0, a + b), b / max(1.0, a + b)
    left = [a * q + b * s - y for q, s, y in zip(quick, slow, correlation, strict=True)]
    return Decay(a, quick_s, b, slow_s, math.sqrt(sum(one * one for one in left) / len(left)))


def _on_plane(track: Track, lat: float, lon: float) -> list[Point]:
    wide = METRES_PER_DEGREE * math.cos(math.radians(lat))
    points: list[Point] = []
    for one in sorted(track.readings, key=lambda reading: reading.at):
        if not points or one.at / 1000 > points[-1][0]:
            points.append((one.at / 1000, (one.lat - lat) * METRES_PER_DEGREE, (one.lon - lon) * wide))
    return points


def _across(one: list[Point], other: list[Point]) -> dict[int, tuple[float, float]]:
    """Second → (difference across the way in metres, course in radians), where both are known."""
    first, last = int(max(one[0][0], other[0][0])) + 5, int(min(one[-1][0], other[-1][0])) - 5
    here = {at: place for at in range(first, last) if (place := _place(one, at)) is not None}

    def apart(clock: float) -> float:
        gaps = sorted(
            math.hypot(place[0] - there[0], place[1] - there[1])
            for at, place in here.items()
            if at % 7 == 0 and (there := _place(other, at + clock)) is not None
        )
        return gaps[len(gaps) // 2]

    clock = min(CLOCKS_S, key=apart)
    found = {}
    for at, place in here.items():
        before, after, there = here.get(at - 1), here.get(at + 1), _place(other, at + clock)
        if before is None or after is None or there is None:
            continue
        north, east = (after[0] - before[0]) / 2, (after[1] - before[1]) / 2
        if (speed := math.hypot(north, east)) >= MOVING_MS:
            across = ((place[1] - there[1]) * north - (place[0] - there[0]) * east) / speed
            found[at] = (across, math.atan2(east, north))
    return found


def _place(line: list[Point], at: float) -> tuple[float, float] | None:
    after = bisect_left(line, (at, -math.inf, -math.inf))
    if not 0 < after < len(line):
        return None
    (t0, north0, east0), (t1, north1, east1) = line[after - 1], line[after]
    if t1 - t0 > MAX_GAP_S:
        return None
    part = (at - t0) / (t1 - t0)
    return north0 + part * (north1 - north0), east0 + part * (east1 - east0)


def _covariance(found: dict[int, tuple[float, float]], lag: int) -> float:
    products = weights = 0.0
    for at, (c, course) in found.items():
        if (later := found.get(at + lag)) is not None:
            turn = math.cos(later[1] - course)
            products += c * later[0] * turn
            weights += turn * turn
    return products / weights


def _squares(found: dict[int, tuple[float, float]], lag: int) -> float:
    mean = sum(c * c for c, _ in found.values()) / len(found)
    spread = sum((c * c - mean) ** 2 for c, _ in found.values()) / len(found)
    pairs = [(c, found[at + lag][0]) for at, (c, _) in found.items() if at + lag in found]
    return sum((a * a - mean) * (b * b - mean) for a, b in pairs) / len(pairs) / spread


def fit(path: Annotated[Path, typer.Argument(help="The folder of the recordings.")]) -> None:
    """Fit the error of receivers on recordings and print the numbers."""
    try:
        found = agreement(read_tracks(path / RIDE))
        jumps = {name: find_jumps(read_tracks(path / name)) for name in JUMPY}
    except (TrackError, ValueError) as error:
        typer.echo(
            f"{path.name}: {error}. Give the folder that holds {RIDE} and {', '.join(JUMPY)}.", err=True
        )
        raise typer.Exit(2) from None
    for name, sigma in single_sigmas(found.variances).items():
        typer.echo(f"{name:18} sigma on an axis {sigma:5.2f} m{'  (phone)' if name in PHONES else ''}")
    unrest = fit_unrest(found.kurtosis, found.restless, found.correlation)
    steady = [rho / unrest.kept(lag) for lag, rho in zip(LAGS_S, found.correlation, strict=True)]
    one, two = fit_decay(steady, two=False), fit_decay(steady, two=True)
    typer.echo(
        f"kurtosis of a difference {found.kurtosis:.2f} (3 if it were normal): the logarithm of its size "
        f"varies by {unrest.spread:.2f} over {unrest.time_s:.0f} s"
    )
    for label, decay in (("one exponential", one), ("two exponentials", two)):
        typer.echo(
            f"{label:18} {decay.quick:.3f} over {decay.quick_s:.1f} s, "
            f"{decay.slow:.3f} over {decay.slow_s:.0f} s, at once {1 - decay.quick - decay.slow:.3f}; "
            f"rms left {decay.rms:.3f}"
        )
    typer.echo("   lag s   data    one    two   squares  model")
    for lag, seen, squares in zip(LAGS_S, found.correlation, found.restless, strict=True):
        kept, model = unrest.kept(lag), unrest.of_squares(lag, two.at(lag))
        typer.echo(
            f"{lag:8} {seen:6.3f} {one.at(lag) * kept:6.3f} {two.at(lag) * kept:6.3f}"
            f" {squares:8.3f} {model:6.3f}"
        )
    for name, jump in jumps.items():
        _show_jumps(name, jump)


def _show_jumps(name: str, jumps: Jumps) -> None:
    typer.echo(
        f"{name}: {jumps.count} jumps in {jumps.hours:.1f} h, {jumps.per_hour:.2f} an hour; length median "
        f"{jumps.median_m:.0f} m, log spread {jumps.spread:.2f}, most {jumps.most_m:.0f} m; "
        f"lasting {jumps.lasts_s:.0f} s; {jumps.bold:.2f} claim an accuracy better than 100 m; "
        f"claimed accuracy of all fixes: median {jumps.accuracy_m:.1f} m, "
        f"log spread {jumps.accuracy_spread:.2f}"
    )


if __name__ == "__main__":
    typer.run(fit)
