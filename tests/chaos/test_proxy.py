"""The proxy does to bytes what it says: passes, holds back, cuts."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Mode, Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """To a server that answers each line with the same line."""
    listening = socket.create_server(("127.0.0.1", 0))

    def echo(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            while data := peer.recv(4096):
                peer.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    proxy = Proxy(listening.getsockname()[1])
    proxy.start()
    yield proxy
    proxy.stop()
    proxy.stop()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def dialled(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def answered(connection: socket.socket, seconds: float = 5) -> bytes:
    connection.settimeout(seconds)
    return connection.recv(4096)


def test_it_passes_and_what_was_stalled_comes_later(proxy: Proxy) -> None:
    with dialled(proxy) as one:
        one.sendall(b"a")
        assert answered(one) == b"a"
        proxy.turn(Mode.STALL)
        one.sendall(b"b")
        with dialled(proxy) as another:  # taken, and not heard of again
            another.sendall(b"c")
            for connection in (one, another):
                with pytest.raises(TimeoutError):
                    answered(connection, 0.2)
            proxy.turn(Mode.PASS)
            assert (answered(one), answered(another)) == (b"b", b"c")


def test_a_cut_ends_what_stands_and_lets_nobody_in(proxy: Proxy) -> None:
    with dialled(proxy) as one:
        one.sendall(b"a")
        assert answered(one) == b"a"
        proxy.turn(Mode.CUT)
        assert over(one)
    with dialled(proxy) as another:
        assert over(another)
    proxy.turn(Mode.PASS)
    with dialled(proxy) as third:
        third.sendall(b"d")
        assert answered(third) == b"d"


def over(connection: socket.socket) -> bool:
    try:
        return answered(connection) == b""
    except ConnectionResetError:
        return True
