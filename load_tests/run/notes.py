"""What a crowd's processes tell each other, second by second and at the end. Values only, all JSON.

Nothing here holds a token or a coordinate.
"""

from __future__ import annotations

import msgspec

from load_tests.run.histogram import Histogram


class Tally(msgspec.Struct):
    """One second of one worker, or of all of them added up. Levels are those at its end."""

    at_s: int
    """The second, since the epoch."""
    connected: int = 0
    """Phones that are in the party (level)."""
    wanted: int = 0
    """Phones that should be in it now: joined, with a network, not killed (level)."""
    held: int = 0
    """Fixes that are neither acked nor rejected (level)."""
    offered: int = 0
    acked: int = 0
    rejected: dict[str, int] = {}
    sent_again: int = 0
    frames: int = 0
    """Frames of the server, of every kind."""
    deliveries: int = 0
    """Positions of others that came in `positions` frames."""
    delay_ms: Histogram = {}
    """From a live fix's sending to its arrival at another phone, the tick included."""
    ack_ms: Histogram = {}
    """From a fix's offering to its ack, while the phone had a network."""
    join_ms: Histogram = {}
    """From dialling to `welcome`."""
    tightenings: int = 0
    """Asked for by the hosts; each once, however often it had to be asked again."""
    tightenings_returned: int = 0
    tighten_ms: Histogram = {}
    """From a tightening's asking to its return, of the try that returned. A failed try is in `closes`."""
    closes: dict[str, int] = {}
    """Connections that ended without the phone wanting it, by code and name (`1006 cut`)."""


class Violation(msgspec.Struct, frozen=True):
    """One broken promise, with the evidence in one sentence: times, distances and numbers, no place."""

    rule: str
    """`G1`, `G2`, `G3`, `G4`, `order`, `delay` or `account`."""
    session: int
    m: int
    """The member whose fix it was."""
    at_ms: int
    """When it was seen, epoch milliseconds; 0: at the end."""
    evidence: str


class Account(msgspec.Struct):
    """What became of the fixes: `offered = acked + rejected + held + lost`."""

    offered: int = 0
    acked: int = 0
    rejected: dict[str, int] = {}
    held: int = 0
    lost: int = 0
    sent_again: int = 0


class Audited(msgspec.Struct):
    """What the audit looked at, and what it found. Adds up over parties and workers."""

    deliveries: int = 0
    """Positions delivered, each checked for precision and order."""
    acked_windows: int = 0
    """Windows (member and 5 seconds) with an acked fix."""
    looked_up: int = 0
    """Of these, the ones that had to have their row and were looked for in `party_positions`."""
    rows: int = 0
    """Rows found, each checked: asked for, not finer than allowed, one a window."""
    violations: list[Violation] = []
    """The first of each rule, `MOST` at most of a party."""
    broken: dict[str, int] = {}
    """How many violations of each rule, the ones that are not listed included."""
    note: str = ""
    """Why something was not checked; empty when everything was."""
    finer: int = 0
    """Positions delivered that were finer than allowed: after a tightening's return, or after `precision`."""


class Ended(msgspec.Struct, tag_field="kind", tag="ended"):
    """A worker's last word."""

    account: Account
    audited: Audited
    gave_up: dict[str, int] = {}
    """Phones that were told not to come again, by code and name."""


class ServerSample(msgspec.Struct):
    """The servers at one time: names such as `gateway_cpu_s`, `redis_used_bytes`; counters are as read."""

    at_s: float
    """Since the epoch."""
    figures: dict[str, float]


class Objective(msgspec.Struct):
    """One of a scenario's service objectives and how it went."""

    name: str
    limit: float
    unit: str
    seen: float | None
    """`None`: there was nothing to measure, which misses it."""
    met: bool


class Tightenings(msgspec.Struct):
    """What became of the hosts' tightenings. Times are of the tries that returned."""

    asked: int = 0
    returned: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    """Right within 5 %, as the others."""
    finer: int = 0
    """Positions finer than allowed that were delivered afterwards."""


class Run(msgspec.Struct):
    """A whole run: what the report is made of."""

    scenario: str
    url: str
    seed: int
    members: int
    party_size: int
    rate: float
    minutes: float
    """As asked for; `seconds` tells how long it was."""
    workers: int
    machine: str
    """Cores and Python of the load's machine."""
    started_at_s: float
    seconds: float
    outcome: str
    """`done`, or `stopped` by the person."""
    tallies: list[Tally]
    samples: list[ServerSample]
    account: Account
    audited: Audited
    gave_up: dict[str, int]
    objectives: list[Objective]
    other_urls: list[str] = []
    """Of more gateways than `url`."""
    tightenings: Tightenings = msgspec.field(default_factory=Tightenings)
    tracks: list[str] = []
    """File names of `--replay`."""
    remarks: list[str] = []
    """What a reader must know before the figures: that the load itself fell behind."""
