"""What a person sees of a replay: progress while it plays, and the account when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from load_tests.account import ReplayAccount
from load_tests.replay import Progress

LINE_S = 5.0
"""Seconds between two lines of progress where there is no terminal."""


@contextmanager
def progress(console: Console, clock: Callable[[], float]) -> Iterator[Callable[[Progress], None]]:
    """A bar in a terminal, a line every few seconds elsewhere."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=None)

            def draw(now: Progress) -> None:
                bar.update(task, description=_line(now), completed=now.acked + now.rejected, total=now.read)

            yield draw
    else:
        said = clock()

        def say(now: Progress) -> None:
            nonlocal said
            if clock() - said >= LINE_S:
                said = clock()
                typer.echo(_line(now))

        yield say


def _line(now: Progress) -> str:
    return f"sent {now.offered} of {now.read}, acked {now.acked}, rejected {now.rejected}, held {now.held}"


def account_tables(account: ReplayAccount) -> list[Table]:
    """The account as two tables: the members, and what became of the fixes."""
    members = Table(title=f"Session {account.session}, started_at {account.started_at}", title_justify="left")
    members.add_column("m", justify="right", no_wrap=True)
    members.add_column("track", overflow="ellipsis")
    for heading in ("delta_ms", "sent", "acked", "rejected", "held", "windows"):
        members.add_column(heading, justify="right", no_wrap=True)
    for one in account.members:
        counts = (one.delta_ms, one.offered, one.acked, sum(one.rejected.values()), one.held, one.windows)
        number = "" if one.m is None else str(one.m)
        # Text, because a track's name may hold what rich reads as markup.
        members.add_row(number, Text(one.member), *(str(count) for count in counts))
    return [members, _totals(account)]


def _totals(account: ReplayAccount) -> Table:
    table = Table(title="Account", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("fixes", justify="right")
    table.add_row("sent", str(account.total("offered")))
    table.add_row("acked", str(account.total("acked")))
    for reason, count in sorted(account.by_reason("rejected").items()):
        table.add_row(f"rejected: {reason}", str(count))
    table.add_row("still held", str(account.total("held")))
    for label, field in (("lost", "lost"), ("not sent", "not_sent"), ("sent again", "sent_again")):
        if count := account.total(field):
            table.add_row(label, str(count))
    for reason, count in sorted(account.by_reason("unusable").items()):
        table.add_row(f"unusable: {reason}", str(count))
    table.add_section()
    least, most = account.rows_expected
    expected = str(most) if least == most else f"{least} to {most}"
    table.add_row("windows expected", expected)
    table.add_row("rows found", "not counted" if account.rows_found is None else str(account.rows_found))
    return table


def verdict(account: ReplayAccount) -> str:
    """The last line: whether the account adds up, and what is open."""
    lines = ["The account adds up." if account.adds_up else "The account does NOT add up."]
    if account.rows_found is None:
        lines.append(f"Rows were not counted: {account.rows_note}.")
    if account.total("held"):
        lines.append(f"{account.total('held')} fixes are still held: neither acked nor rejected.")
    if account.total("lost"):
        lines.append(f"{account.total('lost')} fixes were lost: a phone held more than it has room for.")
    if account.total("not_sent"):
        lines.append(f"{account.total('not_sent')} fixes were not sent.")
    for member in account.members:
        if member.gave_up is not None:
            lines.append(f"Member {member.m} was closed for good ({member.gave_up}).")
    return "\n".join(lines)
