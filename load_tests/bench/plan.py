"""How much is measured: one plan that is thorough and one that is quick. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Seconds, rounds and sizes of a run."""

    rounds: int
    connections: int
    flood_s: float
    paced_s: float
    idle_s: float
    """Over which Partyline's CPU without fixes is seen."""
    lead_s: float
    """At one fix a second before Partyline is measured there: windows close, and are acked, 6 s later."""
    many: int
    """Connections of the comparison with many; 0: it is left out."""
    load_s: float
    """At about 70 % CPU."""
    writer_rows: int
    drop_rows: int


QUICK = Plan(
    rounds=1, connections=500, flood_s=0.5, paced_s=1.0, idle_s=0.8, lead_s=6.2, many=0, load_s=1.5,
    writer_rows=200_000, drop_rows=200_000,
)  # fmt: skip
FULL = Plan(
    rounds=5, connections=500, flood_s=4.0, paced_s=8.0, idle_s=3.0, lead_s=8.0, many=5_000, load_s=8.0,
    writer_rows=1_000_000, drop_rows=5_000_000,
)  # fmt: skip
