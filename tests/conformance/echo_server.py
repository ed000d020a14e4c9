"""The gateway's WebSocket class under uvicorn, with a peer that says everything back. Run as a process:

    python -m tests.conformance.echo_server KIND MAX_MESSAGE_BYTES ODD_BOUND

KIND is `text` or `binary`: a connection of ours carries one of them. ODD_BOUND: control frames and fragments of a
connection, which no sweep forgets here. Prints its port, once it listens.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from typing import Any

import uvicorn
import uvloop

from protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from server import websocket
from server.frames import data_frame
from server.slots import Slots
from server.upgrade import websocket_factory

INVALID_DATA = 1007


class Echo:
    """Says back what it hears; text must be UTF-8, as the decoders of ours see to."""

    def __init__(self, text: bool) -> None:
        self._text = text
        self._socket: websocket.WebSocket | None = None

    def opened(self, socket: websocket.WebSocket, subprotocol: str | None, bearer: str) -> bool:
        self._socket = socket
        return self._text

    def received(self, payload: bytes) -> None:
        assert self._socket is not None
        if self._text:
            try:
                payload.decode()
            except UnicodeDecodeError:
                self._socket.close(INVALID_DATA)
                return
        self._socket.write(data_frame(payload, text=self._text))

    def writable(self, yes: bool) -> None:
        """Who does not read is not read."""
        assert self._socket is not None
        if yes:
            self._socket.resume_reading()
        else:
            self._socket.pause_reading()

    def draining(self) -> None:
        assert self._socket is not None
        self._socket.close(4000)

    def lost(self) -> None:
        self._socket = None


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def serve(kind: str, max_message_bytes: int) -> None:
    """Until SIGTERM."""
    slots = Slots(
        now_ns=time.monotonic_ns, sleep=time.sleep, after_reads=asyncio.get_running_loop().call_soon
    )
    config = uvicorn.Config(
        _no_app,
        ws=websocket_factory(  # type: ignore[arg-type]
            lambda: Echo(kind == "text"),
            slots=slots,
            subprotocols=(SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON),
            origins=frozenset(),
            max_message_bytes=max_message_bytes,
        ),
        http="h11",
        loop="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=5,
    )
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201
        await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)  # asyncio's tracebacks go to stderr
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        websocket.ODD_BOUND = int(sys.argv[3])
        runner.run(serve(sys.argv[1], int(sys.argv[2])))
