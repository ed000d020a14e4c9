"""A stream that refused is full until it is below half; then all waits no longer. Nothing is left out for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from db.fence import SHARDS
from server.batches import Batch
from server.filling import ROW_BYTES, Filling, bound_of

shards = st.integers(0, SHARDS - 1)


def batch(shard: int) -> Batch:
    return Batch(shard, [], 0)


def test_a_refusal_makes_full_and_only_below_half_it_is_not() -> None:
    filling = Filling(1000)
    filling.answered(3, refused=False, weighs=1000)
    assert not filling.full, "it took the batch"
    filling.answered(3, refused=True, weighs=990)
    for weighs in (990, 700, 500):
        filling.answered(3, refused=False, weighs=weighs)
        assert filling.full == {3}
    filling.answered(3, refused=False, weighs=499)
    assert not filling.full


def test_the_bound_is_shared_by_the_shards() -> None:
    assert bound_of(8_000) * SHARDS == 8_000 * ROW_BYTES


@given(st.lists(shards, max_size=60), st.sets(shards), st.integers(1, 40))
def test_what_is_chosen(of: list[int], full: set[int], most: int) -> None:
    filling = Filling(1000)
    for shard in full:
        filling.answered(shard, refused=True, weighs=1000)
    batches = [batch(shard) for shard in of]
    chosen = filling.chosen(batches, most)
    assert len(chosen) <= most
    places = [batches.index(one) for one in chosen]
    assert places == sorted(places), "the oldest first"
    for shard in range(SHARDS):
        mine = [one for one in batches if one.shard == shard]
        taken = [one for one in chosen if one.shard == shard]
        assert taken == mine[: len(taken)]
        if shard in full:
            assert len(taken) <= 1
        if len(chosen) < most:
            assert len(taken) == (min(1, len(mine)) if shard in full else len(mine)), "left out for no reason"
    assert set(filling.to_ask(chosen)) == full - {one.shard for one in chosen}


class Stream:
    """As `add.lua` and `settle.lua` count."""

    def __init__(self) -> None:
        self.entries: list[int] = []

    def add(self, weight: int, bound: int) -> bool:
        if self.entries and sum(self.entries) + weight > bound:
            return False
        self.entries.append(weight)
        return True


@given(st.lists(st.one_of(st.integers(1, 400), st.just(0)), max_size=120), st.integers(1, 4))
def test_with_a_stream_that_drains_everything_is_added(weights: list[int], drained: int) -> None:
    """0: a writer takes some entries. The stream never weighs more than its bound; the hold always ends."""
    bound, filling, stream, waiting = 1000, Filling(1000), Stream(), list[tuple[Batch, int]]()

    def flush() -> None:
        chosen = filling.chosen([one for one, _ in waiting], 256)
        for one, weight in [pair for pair in waiting if pair[0] in chosen]:
            taken = stream.add(weight, bound)
            filling.answered(0, refused=not taken, weighs=sum(stream.entries))
            if taken:
                waiting.remove((one, weight))
        for shard in filling.to_ask(chosen):
            filling.answered(shard, refused=False, weighs=sum(stream.entries))
        assert sum(stream.entries) <= bound

    for weight in weights:
        if weight:
            waiting.append((batch(0), weight))
        else:
            del stream.entries[:drained]
        flush()
        if waiting and not filling.full:
            flush()
            assert not waiting or filling.full, "something waits and nobody is told to hold"
    for _ in range(4 * len(weights) + 4):
        del stream.entries[:drained]
        flush()
    assert not waiting
    assert not filling.full
