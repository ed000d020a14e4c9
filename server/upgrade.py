"""Hands uvicorn our WebSocket class. The one place that knows what uvicorn calls it with.

The constructor's arguments, `connection_made` and `data_received` with the request written out again,
`server_state.connections` and `shutdown()` are uvicorn's internals: the version is pinned and a test
holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from protocol.limits import MAX_FRAME_BYTES
from server.peer import Peer
from server.slots import Slots
from server.websocket import WebSocket


def websocket_factory(
    peer: Callable[[], Peer],
    *,
    slots: Slots,
    subprotocols: Sequence[str],
    origins: frozenset[str],
    max_message_bytes: int = MAX_FRAME_BYTES,
) -> Callable[..., WebSocket]:
    """What `uvicorn.Config(ws=…)` takes: makes one `WebSocket` a connection."""

    def make(config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> WebSocket:
        return WebSocket(
            peer=peer(),
            slots=slots,
            connections=server_state.connections,
            subprotocols=subprotocols,
            origins=origins,
            max_message_bytes=max_message_bytes,
        )

    return make
