"""The numbers of the wire, each with its unit. Both sides rest on them."""

from __future__ import annotations

WINDOW_MS = 5_000
"""A snapshot's span of event time, aligned to the epoch."""

FUTURE_MS = 60_000
"""A fix may be this far ahead of the server's clock (phones' clocks differ)."""

BEAT_MS = 60_000
"""The time of a rough position is rounded down to this beat."""

STALE_MS = 30_000
"""A connected member without a fix for this long is `stale`."""

MAX_FRAME_BYTES = 64 * 1024
MAX_FIXES = 500
"""Fixes in one `fixes` message."""

JOIN_TIMEOUT_S = 5.0
FIXES_PER_S = 50.0
FIXES_BURST = 5_000

MAX_NAME = 40
"""Characters of a display name."""

SUBPROTOCOL_JSON = "partyline.v1.json"
SUBPROTOCOL_MSGPACK = "partyline.v1.msgpack"
