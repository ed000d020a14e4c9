"""The figures of a run are what its numbers make, and the same names stand in every run."""

from __future__ import annotations

import pytest

from load_tests.report.figures import change, figures
from load_tests.run.histogram import bucket, quantile
from load_tests.run.notes import Audited, Run
from tests.load_tests.report.runs import nothing, run, tally


def values(made: Run) -> dict[str, float | None]:
    return {one.name: one.value for one in figures(made)}


def test_the_figures_of_a_known_run() -> None:
    found = values(run(30))
    assert found["Delivery delay p50"] == quantile({bucket(500): 1}, 1)
    assert found["Delivery delay p99"] == quantile({bucket(900): 1}, 1)
    assert found["Fixes offered"] == 20
    assert found["Fixes acked"] == 15
    assert found["Deliveries"] == 80
    assert found["Held at most"] == 7
    assert found["Held at the end"] == 26
    assert found["Rejected"] == 4
    assert found["Sent again"] == 3
    assert found["Connected of wanted"] == 100
    assert found["Gateway CPU per fix"] == pytest.approx(1e6 * 0.25 / 20)
    assert found["PostgreSQL CPU"] == pytest.approx(0.5)
    assert found["Gateway memory at most"] == 100
    assert found["PostgreSQL commits"] == pytest.approx(8)
    assert found["Redis commands"] == pytest.approx(64)
    assert found["Redis data at most"] == 4


def test_nothing_measured_is_no_figure_and_what_is_counted_is_zero() -> None:
    found = values(nothing())
    for name in ("Delivery delay p99", "Fixes offered", "Held at most", "Connected of wanted", "Gateway CPU"):
        assert found[name] is None, name
    for name in ("Violations", "Lost", "Connections cut", "Phones that gave up"):
        assert found[name] == 0, name


def test_every_run_has_the_same_names_in_the_same_order_each_once() -> None:
    names = [one.name for one in figures(run())]
    assert [one.name for one in figures(nothing())] == names
    assert len(set(names)) == len(names)


def test_trouble_is_counted() -> None:
    tallies = [tally(0, closes={"1006 cut": 2, "4001 slow": 1}), tally(1, connected=10)]
    found = values(run(tallies=tallies, audited=Audited(broken={"G3": 4, "order": 1}), gave_up={"4501": 2}))
    assert found["Connections cut"] == 3
    assert found["Connected of wanted"] == 75
    assert found["Violations"] == 5
    assert found["Phones that gave up"] == 2


@pytest.mark.parametrize(
    ("now", "before", "by"),
    [(110, 100, 10), (90, 100, -10), (0, 0, 0), (5, 0, None), (0, 5, -100), (None, 1, None), (1, None, None)],
)
def test_a_change_is_in_per_cent_of_what_was(now: float, before: float, by: float | None) -> None:
    assert change(now, before) == by
