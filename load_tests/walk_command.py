"""The command `partyline walk`: the demo party. What it does stands in `party_walk` and `walkers`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from random import SystemRandom
from typing import Annotated, Literal

import msgspec
import typer

from load_tests.cannot_start import CannotStart
from load_tests.endpoints import default_data_dir, find_http, read_endpoints
from load_tests.party_http import create_party, stream_url
from load_tests.party_walk import MAX_WALKERS, Walkers
from load_tests.stopping import Stopped, stopped_by_signals, unless
from load_tests.whole_file import write_whole
from protocol.codec import JSON, MSGPACK, Codec
from protocol.options import Options
from protocol.precision import Precision

TOKEN_VARIABLE = "PARTYLINE_SHARABLE_TOKEN"  # noqa: S105  (a name, not a token)
EXIT_CANNOT_START = 2
SEED = 20_250_601


def walk(
    *,
    count: Annotated[int, typer.Option("--members", "-n", min=1, max=MAX_WALKERS, help="How many walk.")] = 5,
    url: Annotated[
        list[str] | None,
        typer.Option(help="The server; again for each gateway. Default: the one of --data-dir."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where `partyline up` keeps its data.")] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the invitation's token from standard input.")
    ] = False,
    invitation: Annotated[
        Path | None, typer.Option(help="Make a session and write its invitation here (mode 0600).")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop by itself after this long.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same walks.")] = SEED,
    codec: Annotated[Literal["json", "msgpack"], typer.Option(help="The encoding of the wire.")] = "json",
) -> None:
    """A party of people who walk in the middle of Seoul, one fix a second each, until Ctrl-C or SIGTERM.

    One of them has chosen to be seen roughly. They join the session whose sharable token stands in
    PARTYLINE_SHARABLE_TOKEN or, with --token-stdin, on standard input; never on the command line, which
    others can read. Without a token they make a session of their own, as a guest host.

    Exits with 0 when stopped, 1 when the session ended, 2 if it could not start.

    Examples:

      partyline walk --invitation party.json

      partyline walk -n 20 --minutes 5 --token-stdin < token.txt
    """
    try:
        found = None if url else read_endpoints(data_dir or default_data_dir(os.environ, Path.home()))
        bases = find_http(url, found)
        token = _given_token(from_stdin=token_stdin)
        if token and invitation:
            raise CannotStart("--invitation makes a session of its own; leave it out, or give no token.")
        stayed = asyncio.run(
            _walk(
                bases,
                token,
                count=count,
                invitation=invitation,
                minutes=minutes,
                seed=seed,
                codec=MSGPACK if codec == "msgpack" else JSON,
            )
        )
    except CannotStart as error:
        typer.echo(f"partyline: {error}", err=True)
        raise typer.Exit(EXIT_CANNOT_START) from None
    if not stayed:
        typer.echo("partyline: the session ended, or takes no walker any more.", err=True)
        raise typer.Exit(1)


def _given_token(*, from_stdin: bool) -> str:
    if not from_stdin:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    token = sys.stdin.readline().strip()
    if not token:
        raise CannotStart("Standard input holds no token; pipe the invitation's sharable token in.")
    return token


async def _walk(
    bases: list[str],
    token: str,
    *,
    count: int,
    invitation: Path | None,
    minutes: float | None,
    seed: int,
    codec: Codec,
) -> bool:
    with stopped_by_signals() as stop:
        try:
            token = token or await unless(stop, _make_party(bases, count, invitation))
            walkers = Walkers(
                count,
                urls=[stream_url(base) for base in bases],
                token=token,
                codec=codec,
                seed=seed,
                random=SystemRandom(),
            )
            try:
                await unless(stop, walkers.join())
                typer.echo(f"{count} people walk in Seoul.")
                seconds = None if minutes is None else minutes * 60
                return await walkers.walk(stop, lambda: time.time_ns() // 1_000_000, seconds)
            finally:
                await walkers.close()
        except Stopped:
            return True


async def _make_party(bases: list[str], count: int, invitation: Path | None) -> str:
    """A session of our own; returns its sharable token."""
    party = await create_party(
        bases,
        display_name="Demo party",
        precision=Precision.EXACT,
        options=Options(max_members=max(50, count + 1)),
    )
    if invitation is not None:
        write_whole(invitation, msgspec.json.encode({"http": bases[0], **msgspec.to_builtins(party)}))
    return party.sharable_token
