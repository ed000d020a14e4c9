"""The gateway's port: what a kernel keeps for who does not read is bounded on every accepted socket (G6)."""

from __future__ import annotations

import socket

from server.serving import UNSENT_BYTES, bound_unsent


def test_accepted_sockets_inherit_the_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        bound_unsent(listening.fileno())
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT_BYTES
        assert listening.fileno() >= 0, "it is still ours"


def test_who_does_not_read_fills_no_more_than_that_and_its_own_buffer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        bound_unsent(listening.fileno())
        with socket.socket() as phone:
            phone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            phone.connect(listening.getsockname())
            accepted, _ = listening.accept()
            with accepted:
                accepted.setblocking(False)
                sent = 0
                while True:
                    try:
                        sent += accepted.send(b"x" * 256)
                    except BlockingIOError:
                        break
                assert sent <= UNSENT_BYTES + 16 * 1024
