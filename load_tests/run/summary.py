"""What a person reads when a run is over: account, audit, objectives, remarks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.table import Table

from load_tests.run.counting import summed
from load_tests.run.histogram import quantile
from load_tests.run.live import ms
from load_tests.run.notes import Account, Audited, Run, Violation

SHOWN = 10
"""Violations that are printed; the report has more."""


def lines(run: Run) -> Iterator[str]:
    """Line by line, the objectives apart."""
    total = summed(run.tallies)
    yield (
        f"{run.scenario}: {run.members} members in parties of {run.party_size}, {run.rate:g} fixes/s each, "
        f"{run.seconds:.0f} s{', stopped' if run.outcome == 'stopped' else ''}. Seed {run.seed}."
    )
    yield account_line(run.account)
    yield (
        f"Delivered {total.deliveries} positions; delay p50 {ms(quantile(total.delay_ms, 0.5))}, "
        f"p99 {ms(quantile(total.delay_ms, 0.99))}; ack p99 {ms(quantile(total.ack_ms, 0.99))}; "
        f"join p99 {ms(quantile(total.join_ms, 0.99))}."
    )
    if (went := run.tightenings).asked:
        yield (
            f"Tightenings asked {went.asked}, returned {went.returned}; time to return "
            f"p50 {ms(went.p50_ms)}, p99 {ms(went.p99_ms)}, at most {ms(went.max_ms)}. "
            f"Finer than allowed afterwards: {went.finer}."
        )
    load_cpu_s = max((sample.figures.get("load_cpu_s", 0.0) for sample in run.samples), default=0.0)
    if run.account.offered:
        yield (
            f"The load took {load_cpu_s:.1f} s of CPU in {run.workers} process{'es' * (run.workers > 1)}: "
            f"{load_cpu_s / run.account.offered * 1e6:.0f} µs a fix, joining and judging included."
        )
    if total.closes:
        yield f"Connections and calls that ended unasked: {counts(total.closes)}."
    if run.gave_up:
        yield f"Phones that were told not to come again: {counts(run.gave_up)}."
    yield from audit_lines(run.audited)
    yield from run.remarks


def account_line(account: Account) -> str:
    """`offered = acked + rejected by reason + held + lost`."""
    rejected = sum(account.rejected.values())
    by_reason = f" ({counts(account.rejected)})" if rejected else ""
    adds_up = account.offered == account.acked + rejected + account.held + account.lost
    return (
        f"Offered {account.offered} = acked {account.acked} + rejected {rejected}{by_reason} "
        f"+ held {account.held} + lost {account.lost}: "
        f"{'the account adds up' if adds_up else 'the account does NOT add up'}."
        + (f" Sent again: {account.sent_again}." if account.sent_again else "")
    )


def audit_lines(audited: Audited) -> Iterator[str]:
    """The verdict, and the first violations with their evidence."""
    found = sum(audited.broken.values())
    looked = (
        f"{audited.deliveries} deliveries, {audited.acked_windows} acked windows, "
        f"{audited.looked_up} looked up, {audited.rows} rows"
    )
    if found:
        yield f"Audit: {found} violations ({counts(audited.broken)}) in {looked}."
        for violation in audited.violations[:SHOWN]:
            yield f"  {violation_line(violation)}"
        if found > min(SHOWN, len(audited.violations)):
            yield f"  … and {found - min(SHOWN, len(audited.violations))} more."
    elif audited.deliveries or audited.acked_windows or not audited.note:
        yield f"Audit: clean ({looked})."
    if audited.note:
        yield f"Not checked: {audited.note}."


def violation_line(one: Violation) -> str:
    """One broken promise."""
    at = (
        datetime.fromtimestamp(one.at_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
        if one.at_ms
        else "at the end"
    )
    return f"{one.rule}, session {one.session}, member {one.m}, {at}: {one.evidence}"


def objectives_table(run: Run) -> Table:
    """Each objective with its limit, what was seen, and whether it was met."""
    table = Table(title="Objectives", title_justify="left")
    table.add_column("objective")
    for heading in ("limit", "seen"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for one in run.objectives:
        unit = "" if one.unit == "share" else f" {one.unit}"
        seen = "nothing" if one.seen is None else f"{one.seen:g}{unit}"
        table.add_row(one.name, f"{one.limit:g}{unit}", seen, "met" if one.met else "MISSED")
    return table


def missed(run: Run) -> list[str]:
    """A sentence for each objective that was missed."""
    said = []
    for one in run.objectives:
        if not one.met:
            unit = "" if one.unit == "share" else f" {one.unit}"
            seen = "there was nothing to measure" if one.seen is None else f"seen {one.seen:g}{unit}"
            said.append(f"Missed: {one.name}, limit {one.limit:g}{unit}, {seen}.")
    return said


def counts(by_name: dict[str, int]) -> str:
    """`4001 slow 3, 1006 cut 20`, the most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(by_name.items(), key=lambda one: -one[1]))
