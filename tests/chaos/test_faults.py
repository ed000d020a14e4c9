"""Faults one after another, in random order at random instants, under a crowd with the audit on (G1 to G4).

    PARTYLINE_CHAOS_SEED=7 pytest tests/chaos/test_faults.py      the same faults again
    PARTYLINE_TEST_CHAOS=full                                     1,000 phones, 52 faults

The account must be clean: every acked fix in its row, nothing finer than allowed, nothing held, nothing lost.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from tests.chaos.conftest import FULL
from tests.chaos.crowds import Crowd, assert_clean
from tests.chaos.faults import CLUSTER, ONE_REDIS, drawn, full_disk
from tests.chaos.fleet import Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]

MEMBERS, FAULTS = (1_000, 52) if FULL else (60, 5)
DISK_MB = 1_500 if FULL else 400


@pytest.mark.skipif(not FULL, reason="five minutes of peace are for the full size: PARTYLINE_TEST_CHAOS=full")
def test_a_crowd_in_peace_on_a_cluster(tmp_path: Path, seed: int) -> None:
    with Fleet(tmp_path, gateways=3, writers=2, cluster=True) as fleet:
        with Crowd(fleet, members=MEMBERS, seed=seed, minutes=5) as crowd:
            run = crowd.done(within_s=600)
        typer.echo(crowd.said)
        assert_clean(run, crowd.said)


@pytest.mark.parametrize("kind", ["one", "cluster"])
def test_faults_at_random_under_a_crowd(tmp_path: Path, seed: int, kind: str) -> None:
    harms = CLUSTER if kind == "cluster" else ONE_REDIS
    with Fleet(tmp_path, gateways=3, writers=2, cluster=kind == "cluster", disk_mb=DISK_MB) as fleet:
        disk = [full_disk] if fleet.disk is not None and fleet.disk.mounted else []
        if not disk:
            typer.echo("nobody may mount here: PostgreSQL's disk is not filled, it is read-only instead")
        with Crowd(fleet, members=MEMBERS, seed=seed) as crowd:
            for fault in drawn(seed, FAULTS, [*harms, *disk], peace_s=1.0):
                typer.echo(fault)
                fault.inject(fleet)
                crowd.assert_playing()
            run = crowd.ended()
        typer.echo(crowd.said)
        assert_clean(run, crowd.said)
        for child in fleet.children:
            assert "Traceback" not in child.said(), child.name
