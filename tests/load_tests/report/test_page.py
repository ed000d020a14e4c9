"""The page stands alone, says what the run says, and lets no text of a run be anything but text."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load_tests.report.page import MOST_VIOLATIONS, number, page
from load_tests.report.panels import PANELS
from load_tests.run.notes import Account, Audited, Objective, Tally, Violation
from tests.load_tests.report.reading import Page, read_page
from tests.load_tests.report.runs import START_S, nothing, run, sample, tally, undrawn, violations

MEGABYTE_AND_A_HALF = 1_500_000


def read(*runs: object) -> Page:
    return read_page(page(*runs))  # type: ignore[arg-type]


# --- it stands alone -----------------------------------------------------------------------------


def test_nothing_is_fetched_and_nothing_runs() -> None:
    found = read(run(), run(20))
    assert [one for one in found.fetched if not one.startswith("#")] == ["data:,"]
    assert not found.tags & {"script", "iframe", "object", "embed", "img", "image", "form"}
    assert not [name for name in found.attributes if name.startswith("on")]
    assert "default-src 'none'" in page(run())


def test_names_inside_are_unique_and_all_that_are_pointed_to_exist() -> None:
    html = page(run(), run(20))
    found = read_page(html)
    assert len(found.ids) == len(set(found.ids))
    pointed = {one[1:] for one in found.fetched if one.startswith("#")} | set(
        re.findall(r"url\(#(.*?)\)", html)
    )
    assert pointed
    assert pointed <= set(found.ids)


def test_the_same_run_gives_the_same_bytes() -> None:
    assert page(run(), run(20)) == page(run(), run(20))


def test_a_day_of_a_run_is_no_heavy_page() -> None:
    day = run(86_400, tallies=[tally(second) for second in range(86_400)], samples=[])
    day.samples = [sample(second) for second in range(0, 86_400, 2)]
    html = page(day, day)
    assert len(html.encode()) < MEGABYTE_AND_A_HALF
    assert "A point stands for 360 s" in html


def test_colours_are_the_pages_own_so_that_it_can_be_dark() -> None:
    html = page(run())
    svgs = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert svgs
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", " ".join(svgs))) <= {
        "none",
        *("var(--ink)", "var(--grid)"),
        *(f"var(--line-{n})" for n in range(1, 5)),
    }
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


# --- it says what the run says ---------------------------------------------------------------------


def test_every_plot_is_there_with_its_lines() -> None:
    found = read(run())
    assert list(found.plots) == [one.title for one in PANELS]
    for title, lines in {
        "Processor time": ("Gateway", "Writer", "PostgreSQL", "Redis"),
        "Phones": ("wanted", "connected"),
        "Fixes": ("offered", "acked"),
        "Delivery delay": ("p99", "p50"),
    }.items():
        for line in lines:
            assert line in found.plots[title]
    assert "seconds" in found.plots["Unacked"]
    assert "minutes" in read(run(600)).plots["Unacked"]


def test_a_line_lies_where_its_numbers_are() -> None:
    """Held rises from 0 to 100 in a straight line: the drawn points rise evenly too."""
    html = page(run(tallies=[tally(second, held=5 * second) for second in range(21)], seconds=21))
    (svg,) = re.findall(r'<svg[^>]*aria-label="Unacked".*?</svg>', html, re.DOTALL)
    (path,) = re.findall(r'<path d="([^"]*)"[^>]*var\(--line-1\)', svg)
    points = [tuple(map(float, pair)) for pair in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)]
    (x0, y0), (x1, y1) = points[0], points[-1]
    assert x1 > x0
    assert y1 < y0  # an SVG's y points down
    for x, y in points:
        assert (y0 - y) / (y0 - y1) == pytest.approx((x - x0) / (x1 - x0), abs=0.01)


def test_the_account_and_the_audit_stand_there() -> None:
    found = read(undrawn())
    assert found.row("Offered") == ["600"]
    assert found.row("Acked") == ["570"]
    assert found.row("Rejected: precision") == ["4"]
    assert found.row("Still held") == ["26"]
    assert found.row("Lost") == ["0"]
    assert "It adds up" in found.text
    assert found.row("Deliveries, for precision and order") == ["2,345"]
    assert found.row("Windows with an acked fix") == ["117"]
    assert found.row("Of these looked up in party_positions") == ["116"]
    assert found.row("Rows found, each checked") == ["115"]
    assert [row for row in found.rows if row[0] == "Violations"] == [["Violations", "0"]] * 2
    assert ("good", "The audit found no violation in 2,345 deliveries and 115 rows.") in found.items
    assert ("good", "All 2 objectives were met.") in found.items


def test_an_account_that_does_not_add_up_is_said_first() -> None:
    found = read(undrawn(account=Account(600, 570, {}, 20, 0, 0)))
    assert ("bad", "The account of the fixes does not add up.") in found.items
    assert "It does not add up" in found.text


def test_violations_are_shown_with_their_evidence() -> None:
    audited = Audited(100, 20, 20, 20, violations(3), {"G3": 3, "order": 1})
    found = read(undrawn(audited=audited))
    assert ("bad", "The audit found 4 violations: G3 3, order 1.") in found.items
    shown = [row for row in found.rows if row and row[0] == "G3"]
    assert shown == [["G3", "11", str(m), "12.5", f"finer than rough, {m} m off"] for m in range(3)]
    assert "And 1 more." in found.text


def test_a_flood_of_violations_is_bounded() -> None:
    audited = Audited(violations=violations(5000), broken={"G3": 5000})
    found = read(undrawn(audited=audited))
    assert len([row for row in found.rows if row and row[0] == "G3"]) == MOST_VIOLATIONS
    assert f"And {5000 - MOST_VIOLATIONS:,} more." in found.text


def test_a_violation_at_the_end_has_no_second() -> None:
    audited = Audited(violations=[Violation("G1", 1, 2, 0, "no row")], broken={"G1": 1})
    assert read(undrawn(audited=audited)).row("G1") == ["1", "2", "at the end", "no row"]


def test_an_audit_that_did_not_look_says_so_and_is_not_clean() -> None:
    note = "the database does not answer"
    found = read(undrawn(audited=Audited(2345, 117, 0, 0, note=note)))
    assert "Not everything was checked: the database does not answer." in " ".join(found.text.split())
    assert not any(kind == "good" and "audit" in text for kind, text in found.items)
    found = read(undrawn(audited=Audited()))
    assert ("soft", "The audit had nothing to look at.") in found.items


def test_objectives_stand_with_limit_and_what_was_seen() -> None:
    objectives = [
        Objective("delay_p99_ms", 1500.0, "ms", 1720.4, False),
        Objective("connected_share", 0.99, "share", 0.995, True),
        Objective("ack_p99_ms", 10_000.0, "ms", None, False),
    ]
    found = read(undrawn(objectives=objectives))
    assert found.row("delay_p99_ms") == ["1,500 ms", "1,720 ms", "missed"]
    assert found.row("connected_share") == ["0.99 share", "0.995 share", "met"]
    assert found.row("ack_p99_ms") == ["10,000 ms", "nothing", "missed"]
    assert ("bad", "Missed 2 of 3 objectives: delay_p99_ms, ack_p99_ms.") in found.items


def test_what_was_run_and_the_command_to_run_it_again() -> None:
    found = read(undrawn(tracks=["a ride.gpx", "b.gpx"], url="https://party.example", rate=0.5))
    assert found.row("Seed") == ["7"]
    assert found.row("Members") == ["20 in parties of 5"]
    assert found.row("Recorded tracks") == ["a ride.gpx, b.gpx"]
    assert datetime.fromtimestamp(START_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") in found.text
    (line,) = [line for line in found.text.splitlines() if line.startswith("partyline crowd")]
    words = shlex.split(line)
    for option, value in {
        "--scenario": "rush-hour",
        "--url": "https://party.example",
        "--seed": "7",
        "--members": "20",
        "--party-size": "5",
        "--rate": "0.5",
        "--minutes": "0.5",
        "--workers": "2",
    }.items():
        assert words[words.index(option) + 1] == value
    assert words[-4:] == ["--replay", "a ride.gpx", "--replay", "b.gpx"]


def test_closes_and_phones_that_gave_up_are_counted() -> None:
    tallies = [tally(0, closes={"1006 cut": 2, "4001 slow": 1}), tally(1, closes={"1006 cut": 3})]
    found = read(run(tallies=tallies, gave_up={"4501 bad_token": 9}))
    assert found.row("1006 cut") == ["5"]
    assert found.row("4001 slow") == ["1"]
    assert found.row("4501 bad_token") == ["9"]


# --- compared --------------------------------------------------------------------------------------


def test_an_earlier_run_stands_beside_with_the_change() -> None:
    slower = run(samples=[sample(second, redis_commands=128.0 * second) for second in range(30)])
    found = read(slower, run(20))
    assert found.row("Redis commands /s") == ["128", "64", "+100 %"]
    assert found.row("Deliveries /s") == ["80", "80", "0 %"]
    assert found.row("Redis memory at most MiB") == ["16", "16", "0 %"]
    assert "Earlier run" in found.text
    html = page(slower, run(20))
    assert 'class="n worse">+100 %' in html
    assert 'class="n ">0 %' in html


def test_better_and_worse_depend_on_what_is_counted() -> None:
    few, many = (
        run(samples=[], tallies=[tally(second, deliveries=count) for second in range(3)])
        for count in (40, 80)
    )
    assert 'class="n worse">-50 %' in page(few, many)
    assert 'class="n better">+100 %' in page(many, few)
    broken = undrawn(audited=Audited(1, broken={"G3": 1}))
    assert 'class="n worse">from 0' in page(broken, undrawn())


def test_the_earlier_runs_lines_are_drawn_pale_in_each_plot() -> None:
    html = page(run(), run(20))
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        lines = len(re.findall(r"stroke: var\(--line", svg))
        assert len(re.findall(r"stroke-opacity: 0\.\d", svg)) * 2 == lines
    assert "stroke-opacity" not in page(run())


def test_without_an_earlier_run_there_is_no_comparison() -> None:
    found = read(run())
    assert found.row("Redis commands /s") == ["64"]
    assert "Earlier run" not in found.text


# --- runs of little ----------------------------------------------------------------------------------


def test_a_run_of_nothing_is_still_a_page() -> None:
    found = read(nothing())
    assert found.plots == {}
    assert "Not measured: Delivery delay" in found.text
    assert ("bad", "Missed 1 of 1 objectives: delay p99.") in found.items
    assert ("soft", "The run was stopped after 0 s.") in found.items
    assert found.row("Offered") == ["0"]
    assert read(nothing(), run()).row("Deliveries /s") == ["–", "80", ""]
    assert read(run(), nothing()).row("Deliveries /s") == ["80", "–", ""]


def test_without_samples_the_servers_plots_are_named_as_missing() -> None:
    found = read(run(samples=[]))
    assert "Delivery delay" in found.plots
    assert "Processor time" not in found.plots
    assert "Processor time, Memory, Redis commands" in found.text


def test_one_second_is_drawn_as_a_point() -> None:
    html = page(run(1))
    (svg,) = re.findall(r'<svg[^>]*aria-label="Unacked".*?</svg>', html, re.DOTALL)
    assert "<use" in svg


def test_objectives_that_saw_nothing_are_missed() -> None:
    found = read(
        undrawn(objectives=[Objective("a", 1.0, "ms", None, False), Objective("b", 2.0, "", None, False)])
    )
    assert ("bad", "Missed 2 of 2 objectives: a, b.") in found.items


# --- hostile texts -----------------------------------------------------------------------------------

HOSTILE = (
    "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&amp;{{ 7*7 }}{% raw %}</style></title>$x^2$"
)


def test_no_text_of_a_run_is_more_than_text() -> None:
    hostile = run(
        scenario=HOSTILE,
        url=HOSTILE,
        machine=HOSTILE,
        outcome=HOSTILE,
        tracks=[HOSTILE],
        remarks=[HOSTILE],
        account=Account(1, 0, {HOSTILE: 1}),
        audited=Audited(
            1, violations=[Violation(HOSTILE, 1, 1, 1, HOSTILE)], broken={HOSTILE: 1}, note=HOSTILE
        ),
        gave_up={HOSTILE: 1},
        objectives=[Objective(HOSTILE, 1.0, HOSTILE, 2.0, False)],
        tallies=[Tally(START_S, closes={HOSTILE: 1}, rejected={HOSTILE: 1}, held=1)],
        samples=[],
    )
    for html in (page(hostile), page(hostile, hostile), page(run(), hostile)):
        found = read_page(html)
        assert not found.tags & {"script", "img"}
        assert not found.attributes & {"onerror"}
        assert [one for one in found.fetched if not one.startswith("#")] == ["data:,"]
        assert HOSTILE in found.text
        assert "49" not in {cell for row in found.rows for cell in row}


@settings(max_examples=10, deadline=None)
@given(st.text(max_size=40))
def test_any_scenarios_name_is_shown_as_it_is(name: str) -> None:
    made = nothing()
    found = read_page(page(msgspec.structs.replace(made, scenario=name)))
    assert "".join(name.split()) in "".join(found.text.split())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0"), (12345.0, "12,345"), (99.84, "99.8"), (0.01234, "0.0123"), (1234.5, "1,234")],
)
def test_numbers_are_for_people(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_a_manifold_change_is_a_factor() -> None:
    few, many = (run(samples=[], tallies=[tally(0, deliveries=count)]) for count in (2, 50))
    assert read(many, few).row("Deliveries /s") == ["50", "2", "×25"]
