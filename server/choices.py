"""A session's options as a host may choose them, when it is made and later. Pure; the clock is passed in.

Nobody loosens for somebody else (G4): a change that would keep rows longer, show finer cells, or store
what was only live, is refused.
"""

from __future__ import annotations

import msgspec

from protocol.limits import FUTURE_MS, WINDOW_MS
from protocol.options import Options
from server.bodies import changed_keys
from server.problems import Kind, Problem, invalid

BACK_MS = 7 * 86_400_000
"""How far back a session may start."""
GRACE_MS = 60_000
"""A session starts so long before it is made: a phone whose clock is behind must not lose its first fixes."""


def chosen(options: Options, *, ttl_hours: int, now_ms: int) -> Options:
    """The options of a new session, complete. Raises `INVALID`.

    `ttl_hours`: how long the server keeps rows; a session keeps them no longer.
    """
    started_at = options.started_at
    if started_at is None:
        started_at = now_ms - GRACE_MS
        started_at -= started_at % WINDOW_MS
    elif not now_ms - BACK_MS <= started_at <= now_ms + FUTURE_MS:
        raise Problem(
            Kind.INVALID,
            "`$.options.started_at` lies at most 7 days back and 60 s ahead (epoch milliseconds).",
        )
    _check_expiry(options)
    kept = min(options.ttl_hours or ttl_hours, ttl_hours)
    return msgspec.structs.replace(options, started_at=started_at, ttl_hours=kept)


def changed(before: Options, change: msgspec.Struct) -> Options:
    """The options after a change. Raises `CONFLICT` for a loosening, `INVALID` for a value out of range."""
    keys = changed_keys(change)
    if keys.get("ttl_hours", 0) is None:  # `null` means the server's default: what was stored
        del keys["ttl_hours"]
    try:
        after = msgspec.convert({**msgspec.structs.asdict(before), **keys}, Options)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    if after.started_at != before.started_at:
        raise Problem(Kind.CONFLICT, "`started_at` cannot change: make a new session.")
    if after.rough_cell_m != before.rough_cell_m:
        raise Problem(Kind.CONFLICT, "`rough_cell_m` cannot change: make a new session.")
    if (after.ttl_hours or 0) > (before.ttl_hours or 0):
        raise Problem(Kind.CONFLICT, "`ttl_hours` may only shrink: it would keep members' places longer.")
    if before.live_only and not after.live_only:
        raise Problem(Kind.CONFLICT, "`live_only` may only be turned on: nothing was to be stored.")
    _check_expiry(after)
    return after


def _check_expiry(options: Options) -> None:
    expires_at = options.token_expires_at
    if expires_at is not None and not 0 <= expires_at < 2**53:
        raise Problem(Kind.INVALID, "`$.options.token_expires_at` must be epoch milliseconds.")
