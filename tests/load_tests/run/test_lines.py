"""What a worker and its parent say comes back as it was, a line each, and shows no address in its repr."""

from __future__ import annotations

from load_tests.run.lines import (
    Broke,
    CannotGo,
    Go,
    Plan,
    Ready,
    Second,
    Stop,
    decode_from_worker,
    decode_to_worker,
    line,
)
from load_tests.run.notes import Account, Audited, Ended, Tally, Violation
from load_tests.run.scenario import shipped


def test_to_a_worker() -> None:
    for _, scenario in shipped():
        plan = Plan(
            1,
            2,
            3,
            100,
            5,
            1.0,
            2.0,
            scenario,
            ["http://h"],
            "postgresql://a:secret@h/x",
            "json",
            True,
            ["a.gpx"],
        )
        for message in (plan, Go(5), Stop()):
            said = line(message)
            assert said.endswith(b"\n")
            assert said.count(b"\n") == 1
            assert decode_to_worker(said) == message
        assert "secret" not in repr(plan)


def test_from_a_worker() -> None:
    ended = Ended(
        Account(3, 2, {"late": 1}),
        Audited(violations=[Violation("G1", 1, 2, 0, "why\nand how")]),
        {"4501 bad_token": 1},
    )
    second = Second(Tally(5, offered=3, delay_ms={0: 1, 70: 2}, closes={"1006 cut": 1}), 0.5, 12.0, "playing")
    for message in (second, Ready(), ended, CannotGo("why"), Broke("here")):
        said = line(message)
        assert said.count(b"\n") == 1
        assert decode_from_worker(said) == message
