"""A bound on a stream that trims what nobody has read is seen: nothing of what was handed over may be missing."""

from __future__ import annotations

import pytest

from db.fence import shard_of
from server import flusher
from server.streams import stream_key
from tests.server.lives import Life, now_ms

BATCHES = 150
"""More than a node of Redis' streams holds: `MAXLEN ~` trims whole nodes only."""


async def handed_over(life: Life) -> int:
    """How many batches lie in the stream after so many were handed over, while no writer reads."""
    hosted = await life.host()
    ana = await life.join(hosted)
    start = (now_ms() - 900_000) // 5000 * 5000
    for seq in range(1, BATCHES + 1):
        life.fix(ana, seq, start + seq * 5000)
        await life.flush()
    assert life.hub.stats.batches == BATCHES
    length: int = await life.redis.xlen(stream_key(shard_of(hosted.id)))
    return length


async def test_nothing_is_trimmed_before_it_is_read(life: Life) -> None:
    assert await handed_over(life) == BATCHES


@pytest.mark.parametrize("trimming", ["'MAXLEN', '20',", "'MAXLEN', '~', '20',"])
async def test_a_stream_that_trims_is_convicted(
    life: Life, monkeypatch: pytest.MonkeyPatch, trimming: str
) -> None:
    planted = flusher._ADD.replace("KEYS[1], '*',", f"KEYS[1], {trimming} '*',")
    assert planted != flusher._ADD
    monkeypatch.setattr(flusher, "_ADD", planted)
    assert await handed_over(life) < BATCHES
