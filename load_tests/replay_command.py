"""The command `partyline replay`: options in, account out. What it does stands in `replay`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from random import SystemRandom
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console

from load_tests.account import ReplayAccount
from load_tests.cannot_start import CannotStart
from load_tests.endpoints import default_data_dir, find_http, read_endpoints
from load_tests.party_file import load, save
from load_tests.readings import Track, TrackError
from load_tests.replay import Outcome, Play, Replay
from load_tests.replay_show import account_tables, progress, verdict
from load_tests.rows import CannotCount, count_rows
from load_tests.stopping import Stopped, stopped_by_signals, unless
from load_tests.tracks import read_all
from load_tests.whole_file import write_whole
from protocol.codec import JSON, MSGPACK
from protocol.limits import MAX_FIXES
from protocol.options import RoughCell
from protocol.precision import Precision

CODECS = {"json": JSON, "msgpack": MSGPACK}
EXIT_OPEN, EXIT_CANNOT_START, EXIT_INTERRUPTED = 1, 2, 130


def parse_speed(text: str) -> float | None:
    """A factor above 0; `None` for `max` or 0. Raises `typer.BadParameter`."""
    if text.strip().lower() == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed <= 1e6:
        raise typer.BadParameter("give a number such as 1 or 20, or max")
    return speed or None


def replay(
    files: Annotated[list[Path], typer.Argument(help="Recorded tracks: .gpx, .ndjson or .ndjson.gz.")],
    *,
    url: Annotated[
        list[str] | None,
        typer.Option(help="The server; again for each gateway. Default: the one of --data-dir."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where `partyline up` keeps its data.")] = None,
    speed: Annotated[str, typer.Option(help="1 is real time; 0 or max: as fast as the acks allow.")] = "1",
    shift_to_now: Annotated[bool, typer.Option(help="Move the times so that the tracks end now.")] = False,
    precision: Annotated[Precision, typer.Option(help="The session's precision.")] = Precision.EXACT,
    rough_cell_m: Annotated[
        Literal["250", "500", "1000", "2000", "4000"], typer.Option(help="Side of a rough cell, metres.")
    ] = "500",
    live_only: Annotated[bool, typer.Option("--live-only", help="Share, but store nothing.")] = False,
    ttl_hours: Annotated[int | None, typer.Option(min=1, max=8760, help="Hours that rows are kept.")] = None,
    codec: Annotated[Literal["json", "msgpack"], typer.Option(help="The encoding of the wire.")] = "json",
    batch: Annotated[int | None, typer.Option(min=1, max=MAX_FIXES, help="Fixes in a message.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds without an ack until it gives up.")] = 60.0,
    database_url: Annotated[str | None, typer.Option(help="Count rows here; default as --url.")] = None,
    save_to: Annotated[
        Path | None, typer.Option("--save", help="Keep the party and its tokens here.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="A file of --save: the same members again.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the account here as JSON.")] = None,
) -> None:
    """Play recorded tracks as a party, one member a track, and account for every fix.

    Exits with 0 only if the account adds up and nothing is still held; 1 if not, 2 if it could not start,
    130 after Ctrl-C.

    Examples:

      partyline replay ride.gpx

      partyline replay party.ndjson.gz --shift-to-now --speed 20

      partyline replay party.ndjson.gz --shift-to-now --speed max --save party.json

      partyline replay party.ndjson.gz --speed max --resume party.json
    """
    factor = parse_speed(speed)
    try:
        found = None if url else read_endpoints(data_dir or default_data_dir(os.environ, Path.home()))
        play = Play(
            bases=find_http(url, found),
            codec=CODECS[codec],
            speed=factor,
            shift_to_now=shift_to_now,
            precision=precision,
            rough_cell_m=msgspec.convert(int(rough_cell_m), RoughCell),
            live_only=live_only,
            ttl_hours=ttl_hours,
            batch=batch,
            timeout_s=timeout,
        )
        tracks = read_all(files)
        database = database_url or (found.database_url if found else "")
        account = asyncio.run(_replay(tracks, play, database, resume, save_to or resume))
        console = Console()
        for table in account_tables(account):
            console.print(table)
        typer.echo(verdict(account))
        if json_file is not None:
            write_whole(json_file, account.as_json())
    except Stopped:
        typer.echo("partyline: stopped before anything was sent.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except (CannotStart, TrackError) as error:
        typer.echo(f"partyline: {error}", err=True)
        raise typer.Exit(EXIT_CANNOT_START) from None
    if account.outcome == Outcome.STOPPED:
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(0 if account.adds_up and account.complete else EXIT_OPEN)


async def _replay(
    tracks: list[Track], play: Play, database_url: str, resume: Path | None, keep: Path | None
) -> ReplayAccount:
    known = load(resume) if resume else None
    run = Replay(tracks, play, now_ms=time.time_ns() // 1_000_000, random=SystemRandom(), resume=known)
    console = Console()
    with stopped_by_signals() as stop:
        try:
            party = await unless(stop, run.join())
            if database_url:
                await _try_count(database_url, party.session)
            if keep:
                save(keep, party)
            if console.is_terminal:  # the link holds the invitation: not into files that output goes to
                typer.echo(f"Watch it: {party.join_url}")
            with progress(console, time.monotonic) as report:
                outcome = await run.play(stop, report)
            account = run.account(outcome)
        finally:
            await run.close()
    if keep:
        save(keep, run.saved())
    account.rows_wanted = bool(database_url)
    if not database_url:
        account.rows_note = "no --database-url was given"
        return account
    try:
        account.rows_found = await count_rows(database_url, account.session)
    except CannotCount as error:
        account.rows_note = str(error)
    return account


async def _try_count(database_url: str, session: int) -> None:
    try:
        await count_rows(database_url, session)
    except CannotCount as error:
        raise CannotStart(f"The rows cannot be counted: {error}; check --database-url.") from None
