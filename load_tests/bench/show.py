"""What a person sees: the table of all subjects, Partyline's own figures, the criteria, what was left out."""

from __future__ import annotations

from rich.table import Table

from load_tests.bench.results import CRITERIA, MEASURES, OURS, Results

COLUMNS = ("flooded_relay", "flooded_tick", "paced_relay", "paced_tick", "idle_memory")
FLOOR = "C floor"
ALONE = tuple(name for name in MEASURES if name not in COLUMNS)


def figure(value: float | None) -> str:
    """Three digits that count, no exponent; empty for what was not measured."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.2g}"


def comparison(results: Results, title: str) -> Table:
    """Medians by subject; in brackets the ratio to the C floor."""
    table = Table(title=title, title_justify="left")
    table.add_column("server's CPU per fix, µs")
    for name in COLUMNS:
        text, unit = MEASURES[name]
        table.add_column(f"{text}, {unit}" if name == "idle_memory" else text, justify="right")
    for subject in results.subjects():
        cells = []
        for name in COLUMNS:
            value, floor = results.median(subject, name), results.median(FLOOR, name)
            times = value / floor if value and floor and subject != FLOOR and name != "idle_memory" else None
            cells.append(figure(value) + (f" ({figure(times)}×)" if times else ""))
        table.add_row(subject, *cells)
    return table


def alone(results: Results) -> Table:
    """What only Partyline is measured by."""
    table = Table(title="Partyline alone", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("median", justify="right")
    table.add_column("unit")
    for name in ALONE:
        value = results.median(OURS, name)
        if value is not None:
            text, unit = MEASURES[name]
            table.add_row(text, figure(value), unit)
    return table


def criteria(results: Results) -> Table:
    """What is to be reached, and whether it is."""
    table = Table(title="Criteria", title_justify="left")
    for heading in ("criterion", "value", "at least", "aim", ""):
        table.add_column(heading, justify="left" if heading in ("criterion", "") else "right")
    for one in CRITERIA:
        table.add_row(
            one.text,
            figure(one.value(results)),
            f"{'≤' if one.low_is_good else '≥'} {figure(one.at_least)}",
            f"{'≤' if one.low_is_good else '≥'} {figure(one.aim)}",
            one.verdict(results),
        )
    return table


def remarks(results: Results) -> list[str]:
    """What was lost and what was skipped, a sentence each."""
    lost = [f"LOST: {one.subject}, {MEASURES[one.measure][0]}: {one.text}." for one in results.losses]
    return lost + [f"Skipped: {name}: {why}" for name, why in results.skipped.items()]
