"""What an HTTP call gets when it fails: RFC 9457 problem documents, and the shield around every call.

A problem names the mend and repeats nothing of the request: no value, no key, no token, no place. What
nobody foresaw becomes a plain 500; its text is neither sent nor logged, because it may hold a row.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus

import asyncpg
import msgspec
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.announcer import Unconfirmed

MEDIA_TYPE = "application/problem+json"

logger = logging.getLogger("partyline.http")


class Kind(Enum):
    """Every kind of problem: its status, and what it means. `type` in the document is `/docs#<name>`."""

    BAD_REQUEST = (HTTPStatus.BAD_REQUEST, "The request is not one: mend its form.")
    UNAUTHORIZED = (
        HTTPStatus.UNAUTHORIZED,
        "Send a member token or a user's JWT as `Authorization: Bearer`.",
    )
    FORBIDDEN = (HTTPStatus.FORBIDDEN, "Only the host may do this.")
    NOT_FOUND = (HTTPStatus.NOT_FOUND, "There is nothing here, or nothing for this bearer.")
    METHOD_NOT_ALLOWED = (HTTPStatus.METHOD_NOT_ALLOWED, "Use one of the methods in `Allow`.")
    TIMEOUT = (HTTPStatus.REQUEST_TIMEOUT, "The body took too long: send it again.")
    CONFLICT = (HTTPStatus.CONFLICT, "The session does not allow this as it stands.")
    TOO_LARGE = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "A body has at most 64 KiB.")
    UNSUPPORTED = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON as `Content-Type: application/json`.")
    INVALID = (HTTPStatus.UNPROCESSABLE_ENTITY, "A value is missing, of the wrong type or out of range.")
    TOO_MANY = (
        HTTPStatus.TOO_MANY_REQUESTS,
        "There are too many calls from this address: come again after `Retry-After` seconds.",
    )
    INTERNAL = (HTTPStatus.INTERNAL_SERVER_ERROR, "A mistake of the server; it was logged.")
    UNAVAILABLE = (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The server cannot do this now: come again after a moment.",
    )

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.value[0])

    @property
    def meaning(self) -> str:
        """One sentence that names the mend."""
        return self.value[1]

    @property
    def slug(self) -> str:
        """Its name in `type`."""
        return self.name.lower()


class ProblemDocument(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457)."""

    type: str
    """Where the kind of problem is described: a path on this server."""
    title: str
    status: int
    detail: str


class Problem(Exception):
    """A call failed in a way that its sender should know of."""

    def __init__(self, kind: Kind, detail: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(kind.name)
        self.kind = kind
        self.detail = detail or kind.meaning
        self.headers = dict(headers or {})
        if kind is Kind.UNAUTHORIZED:
            self.headers.setdefault("WWW-Authenticate", 'Bearer realm="partyline"')
        if kind is Kind.UNAVAILABLE:
            self.headers.setdefault("Retry-After", "2")

    def document(self) -> ProblemDocument:
        """The body."""
        title = HTTPStatus(self.kind.status).phrase
        return ProblemDocument(f"/docs#{self.kind.slug}", title, self.kind.status, self.detail)

    def response(self) -> Response:
        """The answer."""
        headers = {"Cache-Control": "no-store", **self.headers}
        body = msgspec.json.encode(self.document())
        return Response(body, status_code=self.kind.status, headers=headers, media_type=MEDIA_TYPE)


# --- msgspec's errors, without what the sender wrote -------------------------------------------

_SAFE = re.compile(
    r"(?P<what>Expected `[^`\"']+`(?:, got `\w+`)?(?: (?:of length )?[<>=]{1,2} -?[\d.]+)?"
    r"|Object missing required field `\w+`)(?: - at `(?P<where>\$[.\w\[\]]*)`)?"
)
_WHERE = re.compile(r" - at `(\$[.\w\[\]]*)`$")


def invalid(error: msgspec.ValidationError) -> Problem:
    """The problem of a body that is JSON but not what the call takes.

    msgspec names unknown keys and enum values as they were sent; of those only the place is kept.
    """
    text = str(error)
    known = _SAFE.fullmatch(text)
    if known:
        where = known["where"] or "$"
        return Problem(Kind.INVALID, f"{known['what']} at `{where}`.")
    place = _WHERE.search(text)
    where = place[1] if place else "$"
    if text.startswith("Object contains unknown field"):
        return Problem(
            Kind.INVALID, f"There is a key that this call does not know at `{where}`: take it out."
        )
    if text.startswith("Invalid enum value"):
        return Problem(Kind.INVALID, f"The value at `{where}` is not one of those that /docs lists.")
    if text.startswith("Expected `str` matching regex"):
        return Problem(Kind.INVALID, f"The text at `{where}` is not of the form that /docs gives.")
    return Problem(Kind.INVALID)


# --- handlers ----------------------------------------------------------------------------------


async def on_problem(request: Request, error: Exception) -> Response:
    """Starlette's handler for `Problem`."""
    return error.response() if isinstance(error, Problem) else Problem(Kind.INTERNAL).response()


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own: no such path, no such method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    for kind in Kind:
        if kind.status == status:
            return Problem(kind, headers=headers).response()
    return Problem(Kind.BAD_REQUEST if status < 500 else Kind.INTERNAL, headers=headers).response()


_AWAY = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, RedisError, OSError, asyncio.TimeoutError)
_AWAY_TOO = (
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
)

_UNCONFIRMED = "The change is stored, but not every gateway has confirmed it yet: make the call again."

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"geolocation=(self), camera=(), microphone=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Shield:
    """ASGI middleware: security headers on every answer, and an answer for every exception."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message.get("headers", ()),
                    *SECURITY_HEADERS,
                    (b"content-security-policy", CONTENT_SECURITY_POLICY),
                ]
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except ClientDisconnect:
            return
        except Exception as error:
            problem = _unforeseen(error)
            if not started:
                await problem.response()(scope, receive, guarded)


def _unforeseen(error: Exception) -> Problem:
    """The problem of an exception that nobody handled; logged by its type alone."""
    if isinstance(error, Unconfirmed):
        return Problem(Kind.UNAVAILABLE, _UNCONFIRMED)
    away = isinstance(error, _AWAY + _AWAY_TOO)
    kind = Kind.UNAVAILABLE if away else Kind.INTERNAL
    log = logger.warning if away else logger.error
    log("a call failed", extra={"error": type(error).__name__, "status": kind.status})
    return Problem(kind)
