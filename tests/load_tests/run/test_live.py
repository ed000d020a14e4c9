"""What is seen while a crowd plays, in a terminal and without one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from load_tests.run.histogram import bucket
from load_tests.run.lines import Plan, Second
from load_tests.run.live import look, ms, panel, text, watching
from load_tests.run.notes import Tally
from load_tests.run.running import Running
from load_tests.run.scenario import Scenario

PLAN = Plan(0, 2, 1, 100, 5, 1.0, 2.0, Scenario(), ["http://127.0.0.1:1"], "", "json", True, [])


def running() -> Running:
    run = Running(PLAN, "mixed", "", lambda _: None)
    one, other = run.seconds
    one += [
        Second(Tally(1, connected=1, closes={"1006 cut": 2}), 0.1, 5, "playing"),
        Second(
            Tally(
                2, connected=40, wanted=50, held=7, offered=49, deliveries=190, delay_ms={bucket(500): 9},
                rejected={"late": 3},
            ),
            0.2, 5, "playing",
        ),
    ]  # fmt: skip
    other += [
        Second(Tally(2, connected=50, wanted=50, held=1, offered=50, deliveries=200), 0.3, 5, "settling")
    ]
    run.playing_since_s = 1000.0
    return run


def test_a_line_holds_the_last_second_of_all_workers() -> None:
    run = running()
    assert text(run, look(run, 1030.0)) == (
        "playing, 90 s left: 90 of 100 connected, 99 fixes/s, 390 deliveries/s, 8 unacked, "
        "delay p50 515 ms p99 515 ms, 2 reconnects, 3 rejected, load 50% of a core"
    )
    assert look(run, 2000.0).left_s == 0


def test_before_anything_was_heard_it_can_be_looked_at() -> None:
    run = Running(PLAN, "mixed", "", lambda _: None)
    now = look(run, 0.0)
    assert (now.phase, now.left_s, now.p50_ms) == ("joining", None, None)
    assert text(run, now).startswith("the crowd comes in: 0 of 100 connected")


def test_a_panel_says_the_same() -> None:
    run, console = running(), Console(width=80, record=True, file=io.StringIO())
    console.print(panel(run, look(run, 1030.0)))
    shown = console.export_text()
    for part in ("100 members in parties of 5", "90 of 100", "fixes/s", "99", "515 ms", "90 s", "playing"):
        assert part in shown


def test_a_terminal_gets_a_panel_and_a_file_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    run, out = running(), io.StringIO()
    with watching(Console(force_terminal=True, width=80, file=out)) as watch:
        watch(run)
    assert "╭" in out.getvalue()
    with watching(Console(file=io.StringIO())) as watch:
        watch(run)
        watch(run)  # too soon for a second line
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "90 of 100 connected" in said
    assert "\x1b" not in said


def test_times_are_short() -> None:
    assert [ms(None), ms(0.5), ms(999.6), ms(12_345)] == ["-", "0 ms", "1000 ms", "12 s"]
