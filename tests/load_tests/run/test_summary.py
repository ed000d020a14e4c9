"""What a person reads at the end: the account, the verdict with its evidence, what was missed."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from load_tests.run.histogram import bucket
from load_tests.run.lines import Second
from load_tests.run.notes import Account, Audited, Objective, Run, ServerSample, Tally, Tightenings, Violation
from load_tests.run.running import overloaded
from load_tests.run.summary import account_line, lines, missed, objectives_table

RUN = Run(
    scenario="mixed",
    url="http://127.0.0.1:1",
    seed=7,
    members=10,
    party_size=5,
    rate=1.0,
    minutes=1.0,
    workers=2,
    machine="2 cores",
    started_at_s=1_700_000_000.0,
    seconds=61.0,
    outcome="stopped",
    tallies=[Tally(1, deliveries=40, delay_ms={bucket(500): 40}, closes={"1006 cut": 3, "4001 slow": 5})],
    samples=[ServerSample(1.0, {"load_cpu_s": 0.5}), ServerSample(2.0, {"load_cpu_s": 1.0})],
    account=Account(1000, 980, {"late": 5, "range": 10}, 5),
    audited=Audited(
        deliveries=40,
        acked_windows=200,
        violations=[Violation("G3", 4, 2, 1_700_000_001_234, "a position that is exact")],
        broken={"G3": 12, "G1": 1},
        note="rows were not looked up: why",
    ),
    gave_up={"4501 bad_token": 1},
    objectives=[
        Objective("violations", 0, "found", 13, False),
        Objective("connected_share", 0.9, "share", None, False),
        Objective("lost", 0, "fixes", 0, True),
    ],
    tightenings=Tightenings(12, 11, 80.0, 900.0, 2_400.0, 1),
    remarks=["Load process 1 fell behind."],
)


def test_the_summary_says_all_of_it() -> None:
    said = "\n".join(lines(RUN))
    assert "mixed: 10 members in parties of 5, 1 fixes/s each, 61 s, stopped. Seed 7." in said
    assert (
        "Offered 1000 = acked 980 + rejected 15 (range 10, late 5) + held 5 + lost 0: the account adds up."
        in said
    )
    assert "Delivered 40 positions; delay p50 5" in said
    assert "Tightenings asked 12, returned 11; time to return p50 80 ms, p99 900 ms, at most 2400 ms." in said
    assert "Finer than allowed afterwards: 1." in said
    assert "1.0 s of CPU in 2 processes: 1000 µs a fix" in said
    assert "ended unasked: 4001 slow 5, 1006 cut 3." in said
    assert "not to come again: 4501 bad_token 1." in said
    assert "Audit: 13 violations (G3 12, G1 1)" in said
    assert "G3, session 4, member 2, 22:13:21.234: a position that is exact" in said
    assert "… and 12 more." in said
    assert "Not checked: rows were not looked up: why." in said
    assert said.endswith("Load process 1 fell behind.")


def test_an_account_that_does_not_add_up_is_said() -> None:
    assert account_line(Account(10, 8)).endswith("held 0 + lost 0: the account does NOT add up.")


def test_a_clean_audit_is_said_and_none_is_not() -> None:
    assert "Audit: clean" in "\n".join(lines(_with(Audited(deliveries=3))))
    without = "\n".join(lines(_with(Audited(note="nothing was audited: --no-audit"))))
    assert "clean" not in without
    assert "Not checked: nothing was audited" in without


def _with(audited: Audited) -> Run:
    return msgspec.structs.replace(RUN, audited=audited)


def test_what_was_missed_is_said_with_limit_and_seen() -> None:
    assert missed(RUN) == [
        "Missed: violations, limit 0 found, seen 13 found.",
        "Missed: connected_share, limit 0.9, there was nothing to measure.",
    ]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(objectives_table(RUN))
    assert "MISSED" in console.export_text()


def second(cpu_s: float, lag_ms: float, phase: str = "playing") -> Second:
    return Second(Tally(1), cpu_s, lag_ms, phase)


def test_a_load_that_falls_behind_is_said() -> None:
    fine = [second(0.5, 20)] * 60
    assert overloaded([fine, [second(1.0, 900, "joining")] * 10]) == []
    assert overloaded([fine + [second(0.95, 20)] * 2]) == []
    (said,) = overloaded([fine, fine + [second(0.95, 20)] * 3 + [second(0.4, 800)]])
    assert (
        "Load process 2 fell behind in 4 of 64 seconds (up to 95% of a core, events up to 800 ms late)"
        in said
    )
    assert "--workers" in said
