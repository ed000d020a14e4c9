"""One phone of the load: its socket, what it has sent, what it has seen. What it does is `load`'s."""

from __future__ import annotations

import socket

from load_tests.bench.dialects import Place
from load_tests.bench.frames import server_frames

READ = 262_144
ANSWER_S = 20.0


class LoadError(Exception):
    """One sentence: what the server did that ends the measurement."""


class Phone:
    """What is known of one connection."""

    __slots__ = ("at_ms", "marks", "party", "place", "seen", "seq", "sock", "tail")

    def __init__(self, sock: socket.socket, place: Place) -> None:
        self.sock = sock
        self.place = place
        self.party: list[Phone] = []
        self.seq = 0
        self.at_ms = 0
        self.marks = 0
        self.tail = b""
        self.seen: list[tuple[int, bytes]] | None = None


def timed(chunks: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Whole frames, each with the time at which its last byte came. The first begins at a frame."""
    found: list[tuple[int, bytes]] = []
    data = b""
    for at_ms, chunk in chunks:
        data += chunk
        taken = 0
        for payload in server_frames(data):
            found.append((at_ms, payload))
            taken += len(payload) + (2 if len(payload) < 126 else 4)
        data = data[taken:]
    return found


def read_until(sock: socket.socket, heard: bytes, wanted: bytes) -> bytes:
    """Reads until `wanted` is there; what follows it is returned. Raises `LoadError`."""
    while wanted not in heard:
        try:
            data = sock.recv(READ)
        except TimeoutError:
            raise LoadError(f"the server did not answer within {ANSWER_S:.0f} s") from None
        except OSError:
            data = b""
        if not data:
            raise LoadError("the server refused a connection")
        heard += data
    _, _, rest = heard.partition(wanted)
    return rest
