"""Who gets what a `WebSocket` receives. Values only: the seam between frames and the party."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from server.websocket import WebSocket


class Peer(Protocol):
    """Who gets the messages."""

    def opened(self, socket: WebSocket, subprotocol: str | None, bearer: str) -> bool:
        """The handshake is done. Returns whether frames are text frames."""

    def received(self, payload: bytes) -> None:
        """A whole message."""

    def writable(self, yes: bool) -> None:
        """The socket takes bytes, or does not."""

    def draining(self) -> None:
        """The server stops: close, and say that it may come again."""

    def lost(self) -> None:
        """The connection is gone."""


class _Nobody:
    def opened(self, socket: WebSocket, subprotocol: str | None, bearer: str) -> bool:
        return True

    def received(self, payload: bytes) -> None: ...
    def writable(self, yes: bool) -> None: ...
    def draining(self) -> None: ...
    def lost(self) -> None: ...


NOBODY: Peer = _Nobody()
"""Takes the place of a peer that is gone."""
