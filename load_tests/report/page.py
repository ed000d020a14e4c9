"""A run as one HTML file that needs nothing else: no script, no font, no address to fetch from.

Every text of the run is escaped by the template; the plots are drawn from our own words and numbers only.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from load_tests.report.figures import Figure, change, figures
from load_tests.report.panels import PANELS
from load_tests.report.plots import draw
from load_tests.report.series import Course, course
from load_tests.run.notes import Run

MOST_VIOLATIONS = 200
"""Shown in the page; the JSON has all that were kept."""
CHANGED_BY = 5.0
"""Per cent. A smaller change is not marked as better or worse."""

MANIFOLD = 1000.0
"""Per cent. From here on a change is shown as a factor."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plot as it stands in the page."""

    title: str
    unit: str
    lines: list[str]
    """Their names, in the order of their colours."""
    about: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure, and the same of the earlier run. `verdict` is `better`, `worse` or nothing."""

    figure: Figure
    before: float | None
    change: str
    verdict: str


def page(run: Run, baseline: Run | None = None) -> str:
    """The HTML. With `baseline` the plots show the earlier run's lines too, pale; figures are compared."""
    went, earlier = course(run), course(baseline) if baseline else None
    plots, empty = _plots(went, earlier)
    environment = Environment(
        loader=PackageLoader("load_tests.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "moment": moment}
    return environment.get_template("page.html").render(
        run=run,
        baseline=baseline,
        verdicts=verdicts(run),
        command=command(run),
        compared=compared(run, baseline),
        plots=plots,
        empty=empty,
        point_s=went.wide_s,
        violations=run.audited.violations[:MOST_VIOLATIONS],
        broken=sum(run.audited.broken.values()),
        adds_up=adds_up(run),
        closes=sorted(went.sums.closes.items(), key=lambda one: -one[1]),
    )


def _plots(went: Course, earlier: Course | None) -> tuple[list[Drawn], list[str]]:
    """What was measured as plots, and the titles of what was not."""
    drawn, empty = [], []
    for panel in PANELS:
        lines = panel.lines(went)
        if any(line.measured for line in lines):
            svg = draw(panel, lines, panel.lines(earlier) if earlier else ())
            names = [line.name for line in lines]
            drawn.append(Drawn(panel.title, panel.unit, names, panel.about, Markup(svg)))  # noqa: S704 - our own
        else:
            empty.append(panel.title)
    return drawn, empty


@dataclass(frozen=True, slots=True)
class Verdict:
    """One of the page's first lines. `good` is `None` where it says neither."""

    good: bool | None
    text: str


def verdicts(run: Run) -> list[Verdict]:
    """What a person wants to know first."""
    said = []
    if run.outcome != "done":
        said.append(Verdict(None, f"The run was {run.outcome} after {number(run.seconds)} s."))
    missed = [one.name for one in run.objectives if not one.met]
    if missed:
        said.append(
            Verdict(False, f"Missed {len(missed)} of {len(run.objectives)} objectives: {', '.join(missed)}.")
        )
    elif run.objectives:
        said.append(Verdict(True, f"All {len(run.objectives)} objectives were met."))
    said.append(_audit_verdict(run))
    if not adds_up(run):
        said.append(Verdict(False, "The account of the fixes does not add up."))
    return said


def _audit_verdict(run: Run) -> Verdict:
    audited = run.audited
    if broken := sum(audited.broken.values()):
        rules = ", ".join(f"{rule} {number(count)}" for rule, count in sorted(audited.broken.items()))
        return Verdict(False, f"The audit found {number(broken)} violations: {rules}.")
    if not audited.deliveries and not audited.rows:
        return Verdict(None, "The audit had nothing to look at.")
    looked = f"{number(audited.deliveries)} deliveries and {number(audited.rows)} rows"
    if audited.note:
        return Verdict(None, f"The audit found no violation in {looked}, but did not check everything.")
    return Verdict(True, f"The audit found no violation in {looked}.")


def adds_up(run: Run) -> bool:
    """Whether every fix has an end: `offered = acked + rejected + held + lost`."""
    one = run.account
    return one.offered == one.acked + sum(one.rejected.values()) + one.held + one.lost


def command(run: Run) -> str:
    """What to type for the same crowd again."""
    words = ["partyline", "crowd"]
    for url in (run.url, *run.other_urls):
        words += ["--url", url]
    words += ["--scenario", run.scenario, "--seed", str(run.seed)]
    words += ["--members", str(run.members), "--party-size", str(run.party_size), "--rate", f"{run.rate:g}"]
    words += ["--minutes", f"{run.minutes:g}", "--workers", str(run.workers)]
    for track in run.tracks:
        words += ["--replay", track]
    return shlex.join(words)


def compared(run: Run, baseline: Run | None) -> list[Compared]:
    """The figures of both runs, without those that neither has."""
    before = {one.name: one.value for one in figures(baseline)} if baseline else {}
    return [
        Compared(one, old, percent(one.value, old), _verdict(one, old))
        for one in figures(run)
        if one.value is not None or before.get(one.name) is not None
        for old in [before.get(one.name)]
    ]


def _verdict(one: Figure, before: float | None) -> str:
    if one.value is None or before is None or not one.better:
        return ""
    risen = one.value - before
    if abs(risen) * 100 <= CHANGED_BY * abs(before):
        return ""
    return "better" if risen * one.better > 0 else "worse"


def percent(now: float | None, before: float | None) -> str:
    """A change, such as `+12 %` or `×25`."""
    by = change(now, before)
    if by is None:
        return "from 0" if now and before == 0 else ""
    if by >= MANIFOLD:
        return f"×{number(1 + by / 100)}"
    return f"{by:+,.0f} %" if round(by) else "0 %"


def number(value: float | None) -> str:
    """For people: `12,345`, `12.3`, `0.0123`; a dash for nothing."""
    if value is None:
        return "–"
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def moment(at_s: float) -> str:
    """A time of the world."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
