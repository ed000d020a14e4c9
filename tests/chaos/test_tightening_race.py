"""A tightening holds when it returns, also while gateways are stopped and cut off from Redis (G3).

    PARTYLINE_TEST_CHAOS=full      520 tightenings and thrice 240, instead of 48 and thrice 16

Several sessions at once, hosts who tighten at random instants at any gateway, a watcher at every gateway;
meanwhile one gateway after the other is stopped (SIGSTOP), or its way to Redis is stalled or cut; or Redis is
killed (and empty afterwards) or stopped; or a writer is stopped; or a master of the Cluster is killed or
stopped. Frames finer than allowed after the return: none. Rows finer than allowed stored after it: none. A
tightening returns within the lease (2 s) and a second, also when a gateway is cut off; where Redis or the
writer is what is disturbed it may take longer, or be asked again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from tests.chaos.conftest import FULL
from tests.chaos.disturbing import HARMS, Disturber
from tests.chaos.fleet import Fleet
from tests.chaos.racer import Racer, started_at_ms
from tests.chaos.streamers import Streamers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]

SESSIONS = 4
ROUNDS = dict(zip(HARMS, (130, 60, 60, 60) if FULL else (12, 4, 4, 4), strict=True))
MOST_S = 3.0 if FULL else 5.0
"""Lease and a second; and more where other tests run beside."""


def at(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def told(name: str, times: list[float]) -> str:
    p50, p99, longest = (1000 * at(times, share) for share in (0.5, 0.99, 1.0))
    return f"{name}: {len(times)} returned, p50 {p50:.0f} ms, p99 {p99:.0f} ms, at most {longest:.0f} ms"


@pytest.mark.parametrize("disturbed", HARMS)
def test_nothing_finer_after_the_return(tmp_path: Path, seed: int, disturbed: str) -> None:
    rounds = ROUNDS[disturbed]
    start_ms = started_at_ms()
    streamers = Streamers(start_ms)
    with Fleet(tmp_path, gateways=3, writers=2, cluster=disturbed == "cluster") as fleet:
        disturber = Disturber(fleet, seed, HARMS[disturbed])
        racers = [
            Racer(fleet, streamers, disturber, seed=f"{seed}/{n}", rounds=rounds, start_ms=start_ms)
            for n in range(SESSIONS)
        ]
        with streamers.running(), disturber:
            for racer in racers:
                racer.start()
            for racer in racers:
                racer.join()
        healthy = [time for racer in racers for time in racer.times.healthy]
        harmed = [time for racer in racers for time in racer.times.disturbed]
        failed = [status for racer in racers for status in racer.times.failed]
        watchers = [watcher for racer in racers for watcher in racer.watchers]
        typer.echo(told("healthy", healthy))
        typer.echo(told(f"disturbed ({disturbed})", harmed))
        typer.echo(f"calls that failed and were made again: {failed}; disturbances: {disturber.done}")
        typer.echo(
            f"rows seen exactly {sum(w.exact for w in watchers)}, rough {sum(w.rough for w in watchers)}"
        )
        for racer in racers:
            if racer.mistake is not None:
                raise racer.mistake
        assert [line for racer in racers for line in racer.finer] == []
        assert [row for watcher in watchers for row in watcher.after_being_told] == []
        assert streamers.gave_up == []
        assert len(healthy) + len(harmed) == SESSIONS * rounds
        assert harmed
        assert all(watcher.exact for watcher in watchers), "a watcher that saw nothing proves nothing"
        if disturbed == "gateways":
            assert max(harmed) <= MOST_S
