"""Reads HTTP requests: bodies, numbers in paths and queries, the server's own address. Bounded and timed."""

from __future__ import annotations

import asyncio
import re
from typing import TypeVar

import msgspec
from starlette.requests import Request

from protocol.limits import MAX_FRAME_BYTES
from server.bearers import MAX_ID
from server.problems import Kind, Problem, invalid

MAX_BODY_BYTES = MAX_FRAME_BYTES
BODY_S = 10.0
"""How long a body may take to come."""

_Body = TypeVar("_Body", bound=msgspec.Struct)
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


async def body_of(request: Request, kind: type[_Body]) -> _Body:
    """The body as a `kind`. Raises `UNSUPPORTED`, `TOO_LARGE`, `TIMEOUT`, `BAD_REQUEST`, `INVALID`."""
    media, *_ = request.headers.get("content-type", "").split(";")
    if media.strip().lower() != "application/json":
        raise Problem(Kind.UNSUPPORTED)
    data = await _read(request)
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        raise Problem(Kind.BAD_REQUEST, "The body is not JSON.") from None


async def _read(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                data += chunk
                if len(data) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise Problem(Kind.TIMEOUT, headers={"Connection": "close"}) from None
    return bytes(data)


def _too_large() -> Problem:
    return Problem(Kind.TOO_LARGE, headers={"Connection": "close"})


def session_id(request: Request) -> int:
    """The session's id in the path. Raises `NOT_FOUND` for one that no session can have."""
    number: int = request.path_params["id"]
    if not 0 < number <= MAX_ID:
        raise Problem(Kind.NOT_FOUND)
    return number


def whole(text: str | None, name: str, *, low: int, high: int) -> int | None:
    """A whole number of the query; `None` when it is absent. Raises `INVALID`, without repeating it."""
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,16}", text) or not low <= int(text) <= high:
        raise Problem(Kind.INVALID, f"`{name}` must be a whole number from {low} to {high}.")
    return int(text)


def origin_of(request: Request, public_url: str) -> str:
    """The origin that people reach the server at: as set, or as this request did. Raises `BAD_REQUEST`."""
    if public_url:
        return public_url.rstrip("/")
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise Problem(Kind.BAD_REQUEST, "The `Host` header is not a host.")
    return f"{request.url.scheme}://{host}"
