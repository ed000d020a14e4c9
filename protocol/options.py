"""A session's options: what a host may choose, with ranges. Pure values.

`None` for a whole option set field means "the server's default", which the server fills in when the
session is made, so that a stored session is complete.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

RoughCell = Literal[250, 500, 1000, 2000, 4000]


class Options(msgspec.Struct, frozen=True, omit_defaults=False, forbid_unknown_fields=True):
    """The options of a session; times are epoch milliseconds."""

    tick_ms: Annotated[int, msgspec.Meta(ge=250, le=5000)] = 1000
    """Milliseconds between two `positions` frames."""
    rough_cell_m: RoughCell = 500
    """Side of a rough cell, metres."""
    max_members: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    ttl_hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 365)] | None = None
    """Hours that rows stay readable; never more than the server keeps."""
    token_expires_at: int | None = None
    token_max_uses: Annotated[int, msgspec.Meta(ge=1)] | None = None
    live_only: bool = False
    """Share, but store nothing."""
    started_at: int | None = None
    """Up to 7 days back, so that a recording can be replayed with its own times."""
