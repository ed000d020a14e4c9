"""The command `partyline bench`: options in, tables out. What is measured stands in `load_tests.bench`."""

from __future__ import annotations

import os
import platform
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from load_tests.bench import show
from load_tests.bench.plan import FULL, QUICK, Plan
from load_tests.bench.prerequisites import Absent, Cache, cache_of, install
from load_tests.bench.results import OURS, Results, as_document
from load_tests.bench.rounds import Run
from load_tests.bench.servers import SUBJECTS, Subject

EXIT_LOST, EXIT_ASKED_WRONGLY, EXIT_INTERRUPTED = 1, 2, 130


def chosen(names: list[str]) -> list[Subject]:
    """The subjects of these names, or all. Raises `typer.BadParameter` naming those there are."""
    known = {one.name.lower(): one for one in SUBJECTS}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise typer.BadParameter(f"--only knows {', '.join(one.name for one in SUBJECTS)}")
    return [known[name.lower()] for name in dict.fromkeys(names)] if names else list(SUBJECTS)


def bench(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="One short round, within a minute.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="A subject by name; again for several. Default: all.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, max=100, help="Rounds; default 5.")] = None,
    connections: Annotated[
        int | None, typer.Option(min=50, max=5000, help="Connections; default 500.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a row per subject and measure here.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the comparison into this .svg (needs matplotlib).")
    ] = None,
    install_missing: Annotated[
        bool, typer.Option("--install", help="Install what is missing: apt-get, npm, pip into the cache.")
    ] = False,
) -> None:
    """Measure what a fix costs the server, beside other servers that carry the same party.

    Every subject is a process on this machine; what is counted is its CPU time and memory in /proc. Exits
    with 0 when nothing was lost, 1 when a delivery was or nothing could be measured, 130 after Ctrl-C.

    Examples:

      partyline bench --quick

      partyline bench --install --json bench.json

      partyline bench --only Partyline --only "C floor" --rounds 3
    """
    subjects = chosen(only or [])
    plan = QUICK if quick else FULL
    plan = replace(plan, rounds=rounds or plan.rounds, connections=connections or plan.connections)
    for file in (json_file, plot):
        if file is not None and not file.absolute().parent.is_dir():
            _refuse(f"{file} cannot be written: there is no such folder")
    if plot is not None and not _can_plot():
        _refuse("--plot needs matplotlib; install it with: pip install matplotlib")
    if platform.system() != "Linux":
        _refuse("the benchmark reads /proc: it runs on Linux only")
    cache = cache_of(dict(os.environ), Path.home())
    console = Console()
    results = Results()
    about = _about(plan, quick=quick)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupted = False
    try:
        if install_missing:
            _install(subjects, cache, console)
        _measure(Run(subjects, plan, cache, say=lambda text: None), results, console)
    except KeyboardInterrupt:
        interrupted = True
    _tell(results, console, about, interrupted=interrupted)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(as_document(results, about))))
    if plot is not None and results.readings:
        from load_tests.bench.plot import draw  # noqa: PLC0415 - matplotlib is an extra

        draw(results, plot)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(EXIT_LOST if results.losses or not results.readings else 0)


def _refuse(text: str) -> None:
    typer.echo(f"partyline: {text}", err=True)
    raise typer.Exit(EXIT_ASKED_WRONGLY)


def _can_plot() -> bool:
    from importlib.util import find_spec  # noqa: PLC0415

    return find_spec("matplotlib") is not None


def _install(subjects: list[Subject], cache: Cache, console: Console) -> None:
    """Tries each subject's parts; what is absent is installed, one command after the other."""
    for subject in subjects:
        for _ in range(3):
            try:
                subject.needs(cache)
                break
            except Absent as absent:
                console.print(f"{subject.name}: {absent.command}", markup=False)
                if not install(absent):
                    console.print(f"{subject.name}: that did not work; it is skipped", markup=False)
                    break


def _measure(run: Run, results: Results, console: Console) -> None:
    columns = (TextColumn("{task.description:<44}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=run.steps())

        def say(text: str) -> None:
            bar.update(task, description=text, advance=1)
            if not console.is_terminal:
                typer.echo(text)

        replace(run, say=say).measure(results)


def _about(plan: Plan, *, quick: bool) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "quick": quick,
        "plan": plan.__dict__,
    }


def _tell(results: Results, console: Console, about: dict[str, object], *, interrupted: bool) -> None:
    title = f"{about['date']}, {about['cores']} cores" + (", interrupted" if interrupted else "")
    if results.readings:
        console.print(show.comparison(results, title))
    if OURS in results.subjects():
        console.print(show.alone(results))
        console.print(show.criteria(results))
    for remark in show.remarks(results):
        typer.echo(remark)
    if not results.losses and results.readings:
        typer.echo("Nothing was lost.")
