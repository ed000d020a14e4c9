"""The command `partyline crowd`: options in, report out. What it does stands in `load_tests.run`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from load_tests.cannot_start import CannotStart
from load_tests.crowd.model import MAX_MEMBERS, MAX_MINUTES, MAX_PARTY, MIN_RATE, Crowd
from load_tests.endpoints import default_data_dir, find_http, read_endpoints
from load_tests.readings import TrackError
from load_tests.report import files
from load_tests.rows import CannotCount, count_rows
from load_tests.run import summary
from load_tests.run.company import WorkerFailed
from load_tests.run.limits import make_room
from load_tests.run.lines import Plan
from load_tests.run.live import watching
from load_tests.run.notes import Run
from load_tests.run.running import Running
from load_tests.run.scenario import DEFAULT, Scenario, load, shipped
from load_tests.stopping import stopped_by_signals
from load_tests.tracks import read_all
from protocol.limits import FIXES_PER_S

EXIT_MISSED, EXIT_CANNOT_START, EXIT_INTERRUPTED = 1, 2, 130
MAX_WORKERS = 64


def _list_scenarios(asked: bool) -> None:
    if asked:
        for name, scenario in shipped():
            typer.echo(f"{name:<16} {scenario.about}")
        raise typer.Exit


def crowd(
    *,
    members: Annotated[
        int | None, typer.Option("--members", "-n", min=1, max=MAX_MEMBERS, help="Phones; default 100.")
    ] = None,
    party_size: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_PARTY, help="Members of a party, its host included; default 5."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=MIN_RATE, max=FIXES_PER_S, help="Fixes a second of each; default 1.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, max=MAX_MINUTES, help="How long; default 1.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same crowd.")] = 1,
    url: Annotated[
        list[str] | None,
        typer.Option(help="The server; again for each gateway. Default: the one of --data-dir."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where `partyline up` keeps its data.")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="Look stored rows up here; default: the one of --data-dir.")
    ] = None,
    scenario: Annotated[
        str, typer.Option("--scenario", "-s", help="A name of --list-scenarios, or a .toml file.")
    ] = DEFAULT,
    list_scenarios: Annotated[
        bool, typer.Option("--list-scenarios", callback=_list_scenarios, is_eager=True, help="Name them.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=MAX_WORKERS, help="Processes of the load.")] = 1,
    replay: Annotated[
        list[Path] | None,
        typer.Option(help="Members play these tracks (.gpx, .ndjson, .ndjson.gz); again for several."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report here.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the run here as JSON.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="An earlier --json, to compare the report with.")
    ] = None,
    no_audit: Annotated[bool, typer.Option("--no-audit", help="Do not check what is promised.")] = False,
    codec: Annotated[Literal["json", "msgpack"], typer.Option(help="The encoding of the wire.")] = "json",
) -> None:
    """Play a crowd of phones against a server, check what it promises, and report.

    Parties of people walk and ride through a city; their phones lose the network, sleep, are killed, come
    back with what they hold. A scenario says what happens and what is expected; what is given here comes
    before what it says. The crowd makes sessions of its own, as guest hosts, and ends them.

    Exits with 0 when every objective is met, 1 when one is missed or a promise is broken, 2 if it could not
    start, 130 after Ctrl-C, which ends the run in order and reports what was done so far.

    Examples:

      partyline crowd

      partyline crowd --members 1000 --minutes 5 --html report.html

      partyline crowd --scenario reconnect-storm --workers 2 --json run.json

      partyline crowd --scenario mine.toml --url https://party.example --baseline run.json --html report.html

      partyline crowd --url http://10.0.0.1:8080 --url http://10.0.0.2:8080

      partyline crowd --replay ride.gpx --replay party.ndjson.gz --members 50
    """
    try:
        found = read_endpoints(data_dir or default_data_dir(os.environ, Path.home())) if not url else None
        wanted = load(scenario)
        files.check(html, json_file)
        before = files.read(baseline) if baseline else None
        plan = _plan(
            wanted,
            members=members,
            party_size=party_size,
            rate=rate,
            minutes=minutes,
            seed=seed,
            bases=find_http(url, found),
            database_url=database_url or (found.database_url if found else ""),
            codec=codec,
            audit=not no_audit,
            tracks=[str(path) for path in replay or []],
            workers=workers,
        )
        run = asyncio.run(_run(plan, scenario, found.redis_url if found else ""))
        _tell(run)
        files.write(run, html, json_file, before)
    except (CannotStart, TrackError) as error:
        typer.echo(f"partyline: {error}", err=True)
        raise typer.Exit(EXIT_CANNOT_START) from None
    except WorkerFailed as error:
        typer.echo(f"partyline: {error}", err=True)
        raise typer.Exit(EXIT_MISSED) from None
    except KeyboardInterrupt:
        typer.echo("partyline: stopped at once; there is no report.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for path in (html, json_file):
        if path is not None:
            typer.echo(f"The report is in {path}.")
    if run.outcome == "stopped":
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(0 if all(one.met for one in run.objectives) else EXIT_MISSED)


def _plan(
    scenario: Scenario,
    *,
    members: int | None,
    party_size: int | None,
    rate: float | None,
    minutes: float | None,
    seed: int,
    bases: list[str],
    database_url: str,
    codec: str,
    audit: bool,
    tracks: list[str],
    workers: int,
) -> Plan:
    """The plan of the first worker. Raises `CannotStart` for numbers that make no crowd, and `TrackError`."""
    read_all([Path(name) for name in tracks])
    try:
        crowd = Crowd(
            seed,
            members or scenario.members,
            party_size or scenario.party_size,
            rate or scenario.rate,
            minutes or scenario.minutes,
        )
    except ValueError as error:
        raise CannotStart(f"There is no such crowd; {error}.") from None
    workers = min(workers, len(crowd))  # a party lives in one process
    make_room(-(-len(crowd) // workers) * crowd.party_size)
    return Plan(
        worker=0,
        workers=workers,
        seed=seed,
        members=crowd.members,
        party_size=crowd.party_size,
        rate=crowd.rate,
        minutes=crowd.minutes,
        scenario=scenario,
        bases=bases,
        database_url=database_url,
        codec=codec,
        audit=audit,
        tracks=tracks,
    )


async def _run(plan: Plan, name: str, redis_url: str) -> Run:
    if plan.database_url and plan.audit:
        try:
            await count_rows(plan.database_url, 0)
        except CannotCount as error:
            raise CannotStart(f"The rows cannot be looked up: {error}; check --database-url.") from None
    with stopped_by_signals() as stop, watching(Console()) as watch:
        return await Running(plan, name, redis_url, watch).run(stop)


def _tell(run: Run) -> None:
    for line in summary.lines(run):
        typer.echo(line)
    if run.objectives:
        Console().print(summary.objectives_table(run))
    for line in summary.missed(run):
        typer.echo(line)
