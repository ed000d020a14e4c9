"""A session made over HTTP, as a guest host. The one place where load tests speak HTTP.

Raises `CannotStart` with one sentence; no token and no answer of the server is repeated in it.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from load_tests.cannot_start import CannotStart
from protocol.options import Options
from protocol.precision import Precision

ANSWER_S = 15.0
"""Seconds that the server has to answer."""


class Host(msgspec.Struct):
    """The host's place in the session, and the token to come back with."""

    m: int
    member_token: str

    def __repr__(self) -> str:
        return f"Host(m={self.m}, …)"


class Party(msgspec.Struct):
    """What `POST /v1/sessions` answers."""

    session: int
    sharable_token: str
    join_url: str
    host: Host
    precision: Precision
    revision: int

    def __repr__(self) -> str:
        return f"Party(session={self.session}, …)"


class _Wanted(msgspec.Struct):
    display_name: str
    precision: Precision
    options: Options


def base_url(url: str) -> str:
    """The server's address without a trailing slash. Raises `CannotStart` for what is no address."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise CannotStart("--url is not an address; give one like http://localhost:8080.")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise CannotStart("--url takes the server's address alone: no token, no query, no fragment.")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def stream_url(base: str) -> str:
    """Where the WebSocket is, for a `base_url`."""
    return "ws" + base.removeprefix("http") + "/v1/stream"


async def create_party(base: str, *, display_name: str, precision: Precision, options: Options) -> Party:
    """Make a session as a guest host. Raises `CannotStart`."""
    body = msgspec.json.encode(_Wanted(display_name, precision, options))
    try:
        async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as client:
            answer = await client.post(
                f"{base}/v1/sessions", content=body, headers={"Content-Type": "application/json"}
            )
    except httpx.TimeoutException:
        raise CannotStart(
            f"The server at {base} did not answer in {ANSWER_S:.0f} s; look at its /readyz."
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise CannotStart(
            f"No server answers at {base}; start one with `partyline up`, or give its address with --url."
        ) from None
    if answer.status_code != httpx.codes.CREATED:
        raise CannotStart(_refusal(base, answer.status_code))
    try:
        return msgspec.json.decode(answer.content, type=Party)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise CannotStart(
            f"What answers at {base} is not Partyline, or another version of it; check --url."
        ) from None


def _refusal(base: str, status: int) -> str:
    match status:
        case 401 | 403:
            mend = "it does not let guests host: allow guests there (as `partyline up` does)"
        case 404 | 405 | 501:
            mend = "it is not Partyline: check --url"
        case 400 | 422:
            mend = "it does not allow these options: try without --ttl-hours, --rough-cell-m and --live-only"
        case 429:
            mend = "too many sessions were made just now: wait a minute"
        case _:
            mend = "look at its /readyz and its log"
    return f"The server at {base} refused to make a session (HTTP {status}): {mend}."
