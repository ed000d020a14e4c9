"""Whether a scenario's objectives were met, and how each went. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from load_tests.run.counting import summed
from load_tests.run.histogram import quantile
from load_tests.run.notes import Account, Audited, Objective, Tally
from load_tests.run.scenario import Objectives
from protocol.messages import Reject

AT_LEAST = {"connected_share"}
"""The others are limits from above."""
UNITS = {"_ms": "ms", "_share": "share", "held_at_end": "fixes", "lost": "fixes", "violations": "found"}

DIGITS = {"share": 4}


def judged(
    wanted: Objectives,
    tallies: Sequence[Tally],
    played: Sequence[Tally],
    account: Account,
    audited: Audited,
    *,
    audit: bool,
) -> list[Objective]:
    """Each objective that is set; `violations` only where an audit looked for them. `played`: the seconds of
    the crowd's own time, without its coming in and settling."""
    total, levels = summed(tallies), summed(played)
    unwanted = sum(count for reason, count in account.rejected.items() if reason != Reject.PRECISION)
    seen: dict[str, Callable[[], float | None]] = {
        "delay_p50_ms": lambda: quantile(total.delay_ms, 0.5),
        "delay_p99_ms": lambda: quantile(total.delay_ms, 0.99),
        "ack_p99_ms": lambda: quantile(total.ack_ms, 0.99),
        "join_p99_ms": lambda: quantile(total.join_ms, 0.99),
        "connected_share": lambda: levels.connected / levels.wanted if levels.wanted else None,
        "rejected_share": lambda: unwanted / account.offered if account.offered else None,
        "held_at_end": lambda: account.held,
        "lost": lambda: account.lost,
        "violations": lambda: sum(audited.broken.values()),
    }
    found = []
    for name in wanted.__struct_fields__:
        limit = getattr(wanted, name)
        if limit is not None and (audit or name != "violations"):
            found.append(_one(name, float(limit), seen[name]()))
    return found


def _one(name: str, limit: float, value: float | None) -> Objective:
    met = value is not None and (value >= limit if name in AT_LEAST else value <= limit)
    unit = next(unit for end, unit in UNITS.items() if name.endswith(end))
    return Objective(name, limit, unit, None if value is None else round(value, DIGITS.get(unit, 0)), met)
