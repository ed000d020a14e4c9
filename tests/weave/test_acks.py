"""G1 and G2 in woven worlds: see `ack_world.py`. A failure names its token for `DETANGLE_REPLAY`."""

from __future__ import annotations

import pytest

from db.fence import shard_of
from tests.weave.ack_world import World
from tests.weave.exploring import FAST, SLOW, explore


async def woven() -> None:
    await World(shard=shard_of(1)).run()


def test_an_acked_fix_has_its_row() -> None:
    assert explore(woven, FAST).runs == FAST


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_acked_fix_has_its_row_in_many_worlds() -> None:
    stats = explore(woven, SLOW)
    assert stats.runs == SLOW
    assert stats.distinct_schedules > SLOW * 0.9
