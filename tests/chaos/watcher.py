"""A member at one gateway who only reads, and only when told to: without a thread, so that an instant is exact.

What the kernel has taken of a connection on the loopback is at the reader's socket at once. So what is not there
when a call returns, and comes later, was written after the return.
"""

from __future__ import annotations

import json
import select
import socket
import time
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

ACC = 5.0
"""Every fix says it, and no rough position does: a row with it is exact."""
SUBPROTOCOL = "partyline.v1.json"
OPEN_S = 1.0


class Watcher:
    """Comes in with `token`, and comes again when it is cut, as soon as its gateway lets it."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._socket: socket.socket | None = None
        self._again_at = 0.0
        self.is_tight = False
        """Told of a precision that is not exact, last."""
        self.exact = 0
        self.rough = 0
        self.after_being_told: list[Any] = []
        """Exact rows on a connection that was told of a tightening, and of no loosening since."""

    def read(self, seconds: float = 0.0) -> list[Any]:
        """All rows of what is there, and of what comes within `seconds`."""
        rows: list[Any] = []
        end = time.monotonic() + seconds
        while True:
            if self._socket is None and not self._open():
                time.sleep(min(0.05, max(0.0, end - time.monotonic())))
            elif self._socket is not None:
                wait_s = max(0.0, end - time.monotonic())
                if select.select([self._socket], [], [], wait_s)[0]:
                    rows += self._receive()
                    continue
            if time.monotonic() >= end:
                return rows

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- the parts of it ----------------------------------------------------------------------------------

    def _open(self) -> bool:
        if time.monotonic() < self._again_at:
            return False
        self._again_at = time.monotonic() + 0.5
        uri = parse_uri(self._url)
        protocol = ClientProtocol(uri, subprotocols=[SUBPROTOCOL], max_size=None)  # type: ignore[list-item]
        try:
            raw = socket.create_connection((uri.host, uri.port), OPEN_S)
        except OSError:
            return False
        try:
            protocol.send_request(protocol.connect())
            self._flush(raw, protocol)
            while protocol.state is State.CONNECTING:
                data = raw.recv(65_536)
                if not data:
                    raise ConnectionResetError
                protocol.receive_data(data)
            if protocol.state is not State.OPEN:
                raise ConnectionResetError
            protocol.send_text(json.dumps({"t": "resume", "token": self._token}).encode())
            self._flush(raw, protocol)
        except OSError:
            raw.close()
            return False
        self._socket, self._protocol = raw, protocol
        self._take(protocol)  # what came with the handshake
        return True

    @staticmethod
    def _flush(raw: socket.socket, protocol: ClientProtocol) -> None:
        for data in protocol.data_to_send():
            if data:
                raw.sendall(data)

    def _receive(self) -> list[Any]:
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 20, socket.MSG_DONTWAIT)
        except OSError:
            data = b""
        if not data:
            self.close()
            return []
        self._protocol.receive_data(data)
        rows = self._take(self._protocol)
        try:
            self._flush(self._socket, self._protocol)
        except OSError:
            self.close()
        return rows

    def _take(self, protocol: ClientProtocol) -> list[Any]:
        rows: list[Any] = []
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                rows += self._hear(json.loads(event.data))
        return rows

    def _hear(self, message: dict[str, Any]) -> list[Any]:
        if message["t"] == "welcome":
            self.is_tight = message["session_precision"] != "exact"
        elif message["t"] == "precision":
            self.is_tight = message["precision"] != "exact"
        rows = message.get("p") or message.get("positions") or []
        exact = [row for row in rows if row[4] == ACC]
        self.exact += len(exact)
        self.rough += len(rows) - len(exact)
        if self.is_tight:
            self.after_being_told += exact
        return list(rows)
