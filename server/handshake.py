"""Which handshakes of the WebSocket are accepted: path, origin, subprotocol. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

PATH = "/v1/stream"


def answer(protocol: ServerProtocol, request: Request, origins: frozenset[str]) -> Response:
    """The response to a handshake: 101, or 404, 403, 400, 426 with a line that says why."""
    if request.path.partition("?")[0] != PATH:
        return protocol.reject(HTTPStatus.NOT_FOUND, f"The WebSocket is at {PATH}.\n")
    if not origin_allowed(request.headers, origins):
        return protocol.reject(HTTPStatus.FORBIDDEN, "This origin may not connect.\n")
    return protocol.accept(request)


def origin_allowed(headers: Headers, origins: frozenset[str]) -> bool:
    """Browsers send `Origin`: it must be the server's own host, or one that was allowed by name."""
    sent = headers.get_all("Origin")
    if not sent:
        return True
    if len(sent) > 1:
        return False
    if sent[0] in origins:
        return True
    try:
        host = urlsplit(sent[0]).netloc
    except ValueError:
        return False
    return host != "" and [host] == headers.get_all("Host")


def bearer(headers: Headers) -> str:
    """The token of `Authorization: Bearer`; empty without one."""
    scheme, _, token = (headers.get_all("Authorization") or [""])[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def select_subprotocol(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first of ours that the client offers; none offered is fine and means JSON."""
    if not offered:
        return None
    for name in protocol.available_subprotocols or ():
        if name in offered:
            return name
    raise NegotiationError("none of the offered subprotocols is known here")
