"""A session made over HTTP, as a guest host. The one place where load tests speak HTTP.

Raises `CannotStart` with one sentence; no token and no answer of the server is repeated in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from load_tests.cannot_start import CannotStart
from protocol.options import Options
from protocol.precision import Precision

ANSWER_S = 15.0
"""Seconds that the server has to answer."""
STEER_S = 6.0
"""Seconds that a gateway has for a host's wish: a lease and as much again, and some for a busy machine."""
CONNECTIONS = 8
"""Calls at once, at most."""
_JSON = {"Content-Type": "application/json"}


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


class CallFailed(Exception):
    """A host's call did not work; the text is short, for a count: `http 503`, `http no answer`."""

    def __init__(self, status: int | None) -> None:
        super().__init__("http no answer" if status is None else f"http {status}")
        self.may_pass = status is None or status >= 500 or status in (408, 429)
        """Whether the same call may work later."""


class PartyHttp:
    """Calls to one or several gateways, a few at once; `at` counts through the gateways, round and round.

    No connection is kept: one that a gateway closed just when it was used again was lost to httpx' pool (seen
    on uvloop), and after as many as the pool has, no call went out any more. A context: all is closed at its
    end.
    """

    def __init__(self, bases: Sequence[str]) -> None:
        self._bases = bases
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(timeout=ANSWER_S, trust_env=False, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def create(
        self, *, display_name: str, precision: Precision, options: Options, at: int = 0
    ) -> Party:
        """Make a session as a guest host, at another gateway where one does not. Raises `CannotStart`."""
        body = msgspec.json.encode(_Wanted(display_name, precision, options))
        for more in range(len(self._bases) - 1):
            try:
                return await self._create(self._bases[(at + more) % len(self._bases)], body)
            except CannotStart:
                continue
        return await self._create(self._bases[(at - 1) % len(self._bases)], body)

    async def _create(self, base: str, body: bytes) -> Party:
        try:
            answer = await self._client.post(f"{base}/v1/sessions", content=body, headers=_JSON)
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

    async def set_precision(self, party: Party, precision: Precision, *, at: int = 0) -> None:
        """The host sets the session's precision; returns when it holds. Raises `CallFailed`."""
        await self._call("PATCH", party, msgspec.json.encode({"precision": precision}), at)

    async def end(self, party: Party, *, at: int = 0) -> None:
        """The host ends the session, which may have ended before. Raises `CallFailed`."""
        await self._call("DELETE", party, None, at)

    async def _call(self, method: str, party: Party, body: bytes | None, at: int) -> None:
        headers = _JSON | {"Authorization": f"Bearer {party.host.member_token}"}
        url = f"{self._bases[at % len(self._bases)]}/v1/sessions/{party.session}"
        try:
            answer = await self._client.request(method, url, content=body, headers=headers, timeout=STEER_S)
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError):
            # RuntimeError: uvloop's word, past httpx, for a connection that was closed a moment ago
            raise CallFailed(None) from None
        if not answer.is_success:
            raise CallFailed(answer.status_code)


async def create_party(
    bases: Sequence[str], *, display_name: str, precision: Precision, options: Options
) -> Party:
    """Make one session as a guest host. Raises `CannotStart`."""
    async with PartyHttp(bases) as http:
        return await http.create(display_name=display_name, precision=precision, options=options)


def _refusal(base: str, status: int) -> str:
    match status:
        case 401 | 403:
            mend = "it does not let guests host: allow guests there (as `partyline up` does)"
        case _ if status < 400 or status in (404, 405, 501):
            mend = "it is not Partyline: check --url"
        case 400 | 422:
            mend = "it does not allow these session options: leave them at their defaults"
        case 429:
            mend = "too many sessions were made just now: wait a minute"
        case _:
            mend = "look at its /readyz and its log"
    return f"The server at {base} refused to make a session (HTTP {status}): {mend}."
