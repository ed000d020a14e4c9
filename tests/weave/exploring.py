"""Explores worlds: as many schedules as asked for, from a seed that is printed and can be given again.

`PARTYLINE_WEAVE_SEED` repeats a run, `DETANGLE_REPLAY` the one schedule that a failure names.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

import detangle

FAST = 250
SLOW = int(os.environ.get("PARTYLINE_TEST_WEAVE_RUNS", "20000"))


def explore(world: Callable[[], Any], runs: int, *, shrink: bool = True) -> detangle.ExploreStats:
    """Raises `detangle.BugFound` with the smallest schedule that shows it."""
    seed = int(os.environ.get("PARTYLINE_WEAVE_SEED", secrets.randbelow(2**31)))
    print(f"PARTYLINE_WEAVE_SEED={seed}")  # noqa: T201
    stats = detangle.explore(world, runs=runs, seed=seed, strategy="random", database=False, shrink=shrink)
    print(stats.summary())  # noqa: T201
    return stats
