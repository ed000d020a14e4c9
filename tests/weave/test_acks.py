"""G1 and G2 in woven worlds: see `ack_world.py`. A failure names its token for `DETANGLE_REPLAY`."""

from __future__ import annotations

import os
import secrets

import detangle
import pytest

from db.fence import shard_of
from tests.weave.ack_world import World

FAST = 300
SLOW = int(os.environ.get("PARTYLINE_TEST_WEAVE_RUNS", "20000"))


async def woven() -> None:
    await World(shard=shard_of(1)).run()


def explore(runs: int) -> detangle.ExploreStats:
    seed = int(os.environ.get("PARTYLINE_WEAVE_SEED", secrets.randbelow(2**31)))
    print(f"PARTYLINE_WEAVE_SEED={seed}")  # noqa: T201
    stats = detangle.explore(woven, runs=runs, seed=seed, strategy="random", database=False)
    print(stats.summary())  # noqa: T201
    return stats


def test_an_acked_fix_has_its_row() -> None:
    assert explore(FAST).runs == FAST


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_acked_fix_has_its_row_in_many_worlds() -> None:
    stats = explore(SLOW)
    assert stats.runs == SLOW
    assert stats.distinct_schedules > SLOW * 0.9
