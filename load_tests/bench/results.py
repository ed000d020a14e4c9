"""What was measured: readings, their medians, and the criteria that they are held against. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median

MEASURES: dict[str, tuple[str, str]] = {
    "flooded_relay": ("flooded, relay", "µs/fix"),
    "flooded_tick": ("flooded, tick", "µs/fix"),
    "paced_relay": ("1 fix/s each, relay", "µs/fix"),
    "paced_tick": ("1 fix/s each, tick", "µs/fix"),
    "idle_memory": ("idle connection", "KiB"),
    "writer_cpu": ("writer process, flooded", "µs/fix"),
    "many_tick": ("1 fix/s each, tick, many connections", "µs/fix"),
    "beyond_tick_p99": ("p99 of delivery beyond the tick, at about 70 % CPU", "ms"),
    "beyond_tick_cpu": ("CPU while that was measured", "%"),
    "writer_rate": ("writer, a backlog of 100,000 members, 2 windows a commit", "rows/s"),
    "copy_rate": ("plain binary COPY of the same, one connection", "rows/s"),
    "drop_waited": ("drop of a day's chunk: others wait until its locks are gone", "s"),
    "drop": ("drop of a day's chunk: until its files are gone", "s"),
    "keeper": ("as the keeper drops: counted and recorded", "s"),
    "delete": ("DELETE of as many rows, with its commit", "s"),
    "delete_vacuum": ("DELETE and VACUUM, until the space is back", "s"),
}
"""Title and unit of each measure. CPU is the server's, user and system."""


@dataclass(frozen=True)
class Reading:
    """One value of one round."""

    subject: str
    measure: str
    value: float


@dataclass(frozen=True)
class Loss:
    """Something that did not arrive: then no figure of that load counts."""

    subject: str
    measure: str
    text: str


class Results:
    """All readings of a run, and what is known about what is missing."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.losses: list[Loss] = []
        self.skipped: dict[str, str] = {}
        """Subject or measure, and why it was not measured."""

    def add(self, subject: str, measure: str, value: float) -> None:
        """Takes a reading. Raises `KeyError` for a measure that does not exist."""
        MEASURES[measure]
        self.readings.append(Reading(subject, measure, value))

    def values(self, subject: str, measure: str) -> list[float]:
        """Every round's value."""
        return [one.value for one in self.readings if (one.subject, one.measure) == (subject, measure)]

    def median(self, subject: str, measure: str) -> float | None:
        """The middle value, or `None` where nothing was measured."""
        values = self.values(subject, measure)
        return median(values) if values else None

    def subjects(self) -> list[str]:
        """Subjects with a reading, in the order in which they came."""
        return list(dict.fromkeys(one.subject for one in self.readings))

    def rows(self) -> list[dict[str, object]]:
        """A row a subject and measure."""
        pairs = dict.fromkeys((one.subject, one.measure) for one in self.readings)
        return [
            {
                "subject": subject,
                "measure": measure,
                "unit": MEASURES[measure][1],
                "median": self.median(subject, measure),
                "rounds": self.values(subject, measure),
                "lost": [one.text for one in self.losses if (one.subject, one.measure) == (subject, measure)],
            }
            for subject, measure in pairs
        ]


Key = tuple[str, str]


@dataclass(frozen=True)
class Criterion:
    """A figure to reach: the one measure over the other (or alone), and whether low or high is good."""

    text: str
    measure: Key
    over: Key | None
    at_least: float
    aim: float
    low_is_good: bool = True

    def value(self, results: Results) -> float | None:
        """The ratio of medians; `None` where something of it was not measured."""
        mine = results.median(*self.measure)
        if self.over is None or mine is None:
            return mine
        theirs = results.median(*self.over)
        return mine / theirs if theirs else None

    def verdict(self, results: Results) -> str:
        """`aim reached`, `reached`, `missed` or `not measured`."""
        value = self.value(results)
        if value is None:
            return "not measured"
        sign = 1 if self.low_is_good else -1
        if sign * value <= sign * self.aim:
            return "aim reached"
        return "reached" if sign * value <= sign * self.at_least else "missed"


OURS = "Partyline"
CRITERIA = (
    Criterion("tick, flooded, against the C floor doing ticks",
              (OURS, "flooded_tick"), ("C floor", "flooded_tick"), 2.7, 1.8),
    Criterion("tick at 1 fix/s each, against mosquitto relaying",
              (OURS, "paced_tick"), ("mosquitto", "paced_relay"), 0.35, 0.22),
    Criterion("tick, flooded, against Node ws relaying",
              (OURS, "flooded_tick"), ("Node ws", "flooded_relay"), 0.6, 0.4),
    Criterion("tick, flooded, against nginx nchan relaying",
              (OURS, "flooded_tick"), ("nginx nchan", "flooded_relay"), 1.2, 0.8),
    Criterion("cost per fix with many connections against few, same rate each",
              (OURS, "many_tick"), (OURS, "paced_tick"), 1.15, 1.05),
    Criterion("KiB per idle joined member", (OURS, "idle_memory"), None, 12, 7),
    Criterion("writer, rows/s against plain binary COPY",
              (OURS, "writer_rate"), (OURS, "copy_rate"), 0.6, 0.9, low_is_good=False),
    Criterion("dropping a day's chunk, as long as others wait, against DELETE",
              (OURS, "drop_waited"), (OURS, "delete"), 1 / 100, 1 / 1000),
    Criterion("dropping a day's chunk, until its files are gone, against DELETE and VACUUM",
              (OURS, "drop"), (OURS, "delete_vacuum"), 1 / 100, 1 / 1000),
    Criterion("p99 of delivery beyond the tick at about 70 % CPU, ms",
              (OURS, "beyond_tick_p99"), None, 50, 20),
)  # fmt: skip


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed. Raises `ValueError` for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is no percentile of nothing")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def as_document(results: Results, about: dict[str, object]) -> dict[str, object]:
    """What `--json` writes: what was run, the rows, the criteria, what was lost and what was skipped."""
    return {
        "about": about,
        "rows": results.rows(),
        "criteria": [
            {
                "criterion": one.text,
                "value": one.value(results),
                "at_least": one.at_least,
                "aim": one.aim,
                "verdict": one.verdict(results),
            }
            for one in CRITERIA
        ],
        "lost": [asdict(one) for one in results.losses],
        "skipped": results.skipped,
    }
