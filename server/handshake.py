"""The WebSocket's handshake: bytes in, the answer out; path, origin and subprotocol must be right. Pure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

PATH = "/v1/stream"
quiet = logging.getLogger("partyline.websocket.protocol")
"""For `websockets`, which logs frames at DEBUG and parser errors with their bytes."""
quiet.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back; with `accepted` the connection is open, else it is to be closed."""

    response: bytes
    accepted: bool
    subprotocol: str | None = None
    bearer: str = ""

    def __repr__(self) -> str:  # the bearer is a token
        return f"Answer(accepted={self.accepted})"


class Handshake:
    """One handshake. It is to be dropped with its answer: its headers weigh as much as a connection."""

    __slots__ = ("_origins", "_protocol")

    def __init__(self, subprotocols: Sequence[str], origins: frozenset[str]) -> None:
        self._origins = origins
        self._protocol = ServerProtocol(
            select_subprotocol=select_subprotocol,
            subprotocols=[cast(Subprotocol, name) for name in subprotocols],
            logger=quiet,
        )

    def receive(self, data: bytes) -> Answer | None:
        """The answer, once the request is whole; `None` before and after that."""
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                response = answer(protocol, event, self._origins)
                protocol.send_response(response)
                said = b"".join(protocol.data_to_send())
                if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                    return Answer(said, accepted=False)
                subprotocol = response.headers.get("Sec-WebSocket-Protocol")
                return Answer(said, True, subprotocol, bearer(event.headers))
        return None if protocol.parser_exc is None else Answer(b"", accepted=False)


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
