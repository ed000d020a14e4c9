"""Whether a fix may be taken at all, before it is masked. Pure; the clock is passed in.

Only what makes the fix itself worthless is refused: the place, its accuracy, its time. What phones send
for "unknown" is no fault: -1 for accuracy, speed or heading (iOS, Traccar), NaN for the heading of a
phone that stands still (W3C Geolocation). The masking call turns those into `None`.
"""

from __future__ import annotations

from protocol.limits import FUTURE_MS
from protocol.messages import Reject
from server.position import Reading

MAX_ACC_M = 20_037_508.0
"""Half the Earth's circumference: an accuracy beyond it says nothing, and would not fit every column."""


def check(fix: Reading, now_ms: int, started_at_ms: int) -> Reject | None:
    """Why the fix is refused, or `None`.

    `range`: latitude outside [-90, 90], longitude outside [-180, 180], an accuracy beyond ±`MAX_ACC_M`,
    or one of the three not a finite number (MessagePack can carry NaN). `future`: more than `FUTURE_MS`
    ahead of `now_ms`. `too_old`: before `started_at_ms`. Never raises.
    """
    # Comparisons with NaN are false, so each is written to be true for what is good.
    if not (-90.0 <= fix.lat <= 90.0 and -180.0 <= fix.lon <= 180.0):
        return Reject.RANGE
    acc = fix.acc
    if acc is not None and not -MAX_ACC_M <= acc <= MAX_ACC_M:
        return Reject.RANGE
    if fix.at > now_ms + FUTURE_MS:
        return Reject.FUTURE
    if fix.at < started_at_ms:
        return Reject.TOO_OLD
    return None
