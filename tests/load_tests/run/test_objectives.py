"""Objectives are held against what was counted; what could not be measured is missed."""

from __future__ import annotations

from load_tests.run.histogram import bucket
from load_tests.run.notes import Account, Audited, Objective, Tally
from load_tests.run.objectives import judged
from load_tests.run.scenario import Objectives

ALL = Objectives(
    delay_p50_ms=600,
    delay_p99_ms=900,
    ack_p99_ms=7000,
    join_p99_ms=100,
    connected_share=0.9,
    rejected_share=0.1,
)
TALLIES = [
    Tally(0, connected=0, wanted=10),
    Tally(1, connected=8, wanted=10, join_ms={bucket(50): 10}),
    Tally(
        2,
        connected=10,
        wanted=10,
        delay_ms={bucket(500): 98, bucket(2000): 2},
        ack_ms={bucket(6000): 10},
    ),
]


def found(account: Account, audited: Audited, *, audit: bool = True) -> dict[str, Objective]:
    return {one.name: one for one in judged(ALL, TALLIES, TALLIES[1:], account, audited, audit=audit)}


def test_each_is_judged_by_its_limit() -> None:
    seen = found(Account(100, 60, {"late": 10, "precision": 20}, 10), Audited())
    assert {name: one.met for name, one in seen.items()} == {
        "delay_p50_ms": True,
        "delay_p99_ms": False,
        "ack_p99_ms": True,
        "join_p99_ms": True,
        "connected_share": True,
        "rejected_share": True,
        "held_at_end": False,
        "lost": True,
        "violations": True,
    }
    assert seen["connected_share"].seen == 0.9
    assert seen["rejected_share"].seen == 0.1
    assert seen["held_at_end"] == Objective("held_at_end", 0, "fixes", 10, False)
    assert 0.95 * 2000 < (seen["delay_p99_ms"].seen or 0) < 1.05 * 2000
    assert seen["delay_p99_ms"].unit == "ms"


def test_a_violation_misses_and_without_an_audit_none_is_looked_for() -> None:
    broken = Audited(broken={"G3": 1, "order": 2})
    assert found(Account(1, 1), broken)["violations"] == Objective("violations", 0, "found", 3, False)
    assert "violations" not in found(Account(1, 1), broken, audit=False)


def test_what_was_not_measured_is_missed() -> None:
    for one in judged(ALL, [], [], Account(), Audited(), audit=True):
        measured = one.name in ("held_at_end", "lost", "violations")
        assert (one.met, one.seen) == ((True, 0) if measured else (False, None)), one.name
