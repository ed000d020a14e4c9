"""What a person sees while a crowd plays: a panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from load_tests.run.counting import summed
from load_tests.run.histogram import quantile
from load_tests.run.notes import Tally
from load_tests.run.running import Running

LINE_S = 5.0
"""Seconds between two lines where there is no terminal."""
DELAY_OVER = 5
"""Seconds whose delays make the quantiles shown."""


@dataclass(frozen=True, slots=True)
class Now:
    """How the run is: sums over all workers, of their last second each."""

    phase: str
    second: Tally
    p50_ms: float | None
    p99_ms: float | None
    reconnects: int
    """Connections that ended unasked, and calls that failed, since the beginning."""
    rejected: int
    load_cpu: float
    """Of a core, all load processes together."""
    left_s: float | None
    """Until the crowd's time is over; `None` when it has not begun."""


def look(run: Running, clock_s: float) -> Now:
    """How it is at `clock_s` of the monotonic clock."""
    told = [one for one in run.seconds if one]
    last = [one[-1] for one in told]
    recent = summed(second.tally for one in told for second in one[-DELAY_OVER:])
    phases = [one.phase for one in last]
    left_s = None
    if run.playing_since_s is not None:
        left_s = max(0.0, run.playing_since_s + run.plan.minutes * 60 - clock_s)
    return Now(
        phase=min(phases, key=PHASES.index) if phases else PHASES[0],
        second=summed(second.tally for second in last),
        p50_ms=quantile(recent.delay_ms, 0.5),
        p99_ms=quantile(recent.delay_ms, 0.99),
        reconnects=sum(sum(second.tally.closes.values()) for one in told for second in one),
        rejected=sum(sum(second.tally.rejected.values()) for one in told for second in one),
        load_cpu=sum(second.cpu_s for second in last),
        left_s=left_s,
    )


PHASES = ("joining", "playing", "settling", "looking up")
SAID = {
    "joining": "the crowd comes in",
    "playing": "playing",
    "settling": "waiting for the last acks",
    "looking up": "looking up what was stored",
}


@contextmanager
def watching(console: Console) -> Iterator[Callable[[Running], None]]:
    """What to call every second."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda run: live.update(panel(run, look(run, time.monotonic())), refresh=True)
    else:
        said = -LINE_S

        def say(run: Running) -> None:
            nonlocal said
            if time.monotonic() - said >= LINE_S and any(run.seconds):
                said = time.monotonic()
                typer.echo(text(run, look(run, said)))

        yield say


def text(run: Running, now: Now) -> str:
    """One plain line."""
    second = now.second
    wanted = run.plan.members if now.phase == PHASES[0] else second.wanted
    time_left = "" if now.left_s is None or now.phase != "playing" else f", {now.left_s:.0f} s left"
    return (
        f"{SAID[now.phase]}{time_left}: {second.connected} of {wanted} connected, "
        f"{second.offered} fixes/s, {second.deliveries} deliveries/s, {second.held} unacked, "
        f"delay p50 {ms(now.p50_ms)} p99 {ms(now.p99_ms)}, {now.reconnects} reconnects, "
        f"{now.rejected} rejected, load {now.load_cpu:.0%} of a core"
    )


def panel(run: Running, now: Now) -> Panel:
    """The same for a terminal."""
    second, grid = now.second, Table.grid(padding=(0, 3))
    for justify in ("left", "right", "left", "right"):
        grid.add_column(justify=justify)
    wanted = run.plan.members if now.phase == PHASES[0] else second.wanted
    grid.add_row("connected", f"{second.connected} of {wanted}", "delay p50", ms(now.p50_ms))
    grid.add_row("fixes/s", f"{second.offered}", "delay p99", ms(now.p99_ms))
    grid.add_row("deliveries/s", f"{second.deliveries}", "reconnects", f"{now.reconnects}")
    grid.add_row("unacked", f"{second.held}", "rejected", f"{now.rejected}")
    left = "" if now.left_s is None else f"{now.left_s:.0f} s"
    grid.add_row("load", f"{now.load_cpu:.0%} of a core", "time left", left)
    plan = run.plan
    title = f"{plan.members} members in parties of {plan.party_size}, {plan.rate:g} fixes/s each"
    return Panel(grid, title=title, subtitle=SAID[now.phase], expand=False)


def ms(value: float | None) -> str:
    """A time for a person."""
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.0f} s"
