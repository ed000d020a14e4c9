"""A run as lines over time: at most `MOST_POINTS` each, however long it was. Pure.

Where a span holds several seconds, counts are added up, times are merged as histograms, and levels are
those of the worst second, so that nothing bad is averaged away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from load_tests.run.counting import summed
from load_tests.run.histogram import Histogram, bounds, quantile
from load_tests.run.notes import Run, ServerSample, Tally

MOST_POINTS = 240
GAP = math.nan
"""Where nothing was measured: a line has a hole there."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot. `x` is seconds since the run's start, or what the plot says."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    @property
    def measured(self) -> bool:
        return any(math.isfinite(value) for value in self.y)


@dataclass(frozen=True, slots=True)
class Span:
    """Some seconds added up. `at_s` is the middle, seconds since the run's start."""

    at_s: float
    seconds: int
    sum: Tally


@dataclass(frozen=True, slots=True)
class Course:
    """A run as it went: computed once, for all the lines."""

    run: Run
    wide_s: int
    """How many seconds a span stands for."""
    spans: list[Span]
    sums: Tally
    """All of the run added up."""


def course(run: Run) -> Course:
    """The tallies in order of time, several seconds in one where there are many."""
    seconds = [one.at_s for one in run.tallies]
    wide = max(1, math.ceil((max(seconds) - min(seconds) + 1) / MOST_POINTS)) if seconds else 1
    start = math.floor(run.started_at_s)
    shares: dict[int, list[Tally]] = {}
    for tally in run.tallies:
        shares.setdefault((tally.at_s - start) // wide, []).append(tally)
    spans = [
        Span((number + 0.5) * wide, len({one.at_s for one in share}), total(share))
        for number, share in sorted(shares.items())
    ]
    return Course(run, wide, spans, total(run.tallies))


def total(tallies: Sequence[Tally]) -> Tally:
    """Seconds added up; levels of the second with the most held, and of that with the most phones missing."""
    worst = summed(tallies)
    fewest = max(tallies, key=lambda one: one.wanted - one.connected, default=worst)
    worst.at_s = min((one.at_s for one in tallies), default=0)
    worst.connected, worst.wanted = fewest.connected, fewest.wanted
    worst.held = max((one.held for one in tallies), default=0)
    return worst


def over_time(went: Course, name: str, value: Callable[[Span], float | None]) -> Line:
    """A line with a point for each span."""
    values = (value(span) for span in went.spans)
    return Line(name, tuple(span.at_s for span in went.spans), tuple(GAP if v is None else v for v in values))


def per_second(count: Callable[[Tally], int]) -> Callable[[Span], float]:
    """What is counted, a second."""
    return lambda span: count(span.sum) / span.seconds


def times(histogram: Callable[[Tally], Histogram], share: float) -> Callable[[Span], float | None]:
    """A quantile, milliseconds."""
    return lambda span: quantile(histogram(span.sum), share)


def cumulative(counts: Histogram, name: str) -> Line:
    """Which share of the times (per cent) is below `x` milliseconds."""
    everything, below = sum(counts.values()), 0
    x, y = [], []
    for index in sorted(counts):
        if not below:
            x.append(max(bounds(index)[0], 0.1))
            y.append(0.0)
        below += counts[index]
        x.append(bounds(index)[1])
        y.append(100 * below / everything if everything else GAP)
    return Line(name, tuple(x), tuple(y))


# --- the servers ---------------------------------------------------------------------------------


def level(went: Course, name: str, figure: str, scale: float = 1.0) -> Line:
    """A level of the servers, such as memory; where points are many, the highest of its neighbours."""
    chunks = _chunks(went.run.samples)
    x = tuple(chunk[-1].at_s - went.run.started_at_s for chunk in chunks)
    y = ((one.figures[figure] for one in chunk if figure in one.figures) for chunk in chunks)
    return Line(name, x, tuple(scale * max(values, default=GAP) for values in y))


def rate(went: Course, name: str, figure: str, scale: float = 1.0) -> Line:
    """How fast a counter of the servers rose, a second; a gap where it began anew."""
    x, y = [], []
    ends = [chunk[-1] for chunk in _chunks(went.run.samples)]
    for before, after in pairwise(ends):
        risen = _rise(before, after, figure)
        x.append(after.at_s - went.run.started_at_s)
        y.append(GAP if risen is None else scale * risen / (after.at_s - before.at_s))
    return Line(name, tuple(x), tuple(y))


def mean_rate(run: Run, figure: str) -> float | None:
    """The same over the whole run, without the gaps."""
    rises = [
        (risen, after.at_s - before.at_s)
        for before, after in pairwise(run.samples)
        if (risen := _rise(before, after, figure)) is not None
    ]
    seconds = sum(took for _, took in rises)
    return sum(risen for risen, _ in rises) / seconds if seconds else None


def highest(run: Run, figure: str) -> float | None:
    """The highest value of a level."""
    return max((one.figures[figure] for one in run.samples if figure in one.figures), default=None)


def _rise(before: ServerSample, after: ServerSample, figure: str) -> float | None:
    """By how much a counter rose; `None` where it was not read, or is another process's."""
    a, b = before.figures.get(figure), after.figures.get(figure)
    if a is None or b is None or b < a or after.at_s <= before.at_s:
        return None
    if figure.startswith("gateway_") and _started(before) != _started(after):
        return None
    return b - a


def _started(sample: ServerSample) -> float | None:
    return sample.figures.get("gateway_started_s")


def _chunks(samples: Sequence[ServerSample]) -> list[Sequence[ServerSample]]:
    wide = max(1, math.ceil(len(samples) / MOST_POINTS))
    return [samples[start : start + wide] for start in range(0, len(samples), wide)]
