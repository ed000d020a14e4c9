"""Who may listen where: a port is looked at before it is used, so that a wrong one is one clear line.

Workers listen on one port by SO_REUSEPORT, which lets any process of the same user in beside them; so nobody
may be there when the first of them comes.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

MOST_PORT = 65_535
LOOPBACK = "127.0.0.1"


class CannotListen(Exception):
    """One line: what is wrong with the address or the port."""


def check(host: str, port: int) -> None:
    """Raises `CannotListen` when nobody can listen there, or when somebody does."""
    for listening in _bound(host, port, shared=False):
        listening.close()


def shared(host: str, port: int) -> list[socket.socket]:
    """One socket for each address of `host`, bound beside others of ours, not listening yet."""
    return list(_bound(host, port, shared=True))


def metrics(port: int, *, shared: bool = False) -> socket.socket:
    """The socket of a metrics port, bound. Raises `CannotListen`."""
    try:
        (bound,) = _bound(LOOPBACK, port, shared=shared)
    except CannotListen as error:
        text = f"metrics {error}".replace("--port", "--metrics-port")
        raise CannotListen(text) from None
    return bound


def _bound(host: str, port: int, *, shared: bool) -> Iterator[socket.socket]:
    if port > MOST_PORT:
        raise CannotListen(f"port {port} is above {MOST_PORT}: name a lower one with --port")
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        text = "--host must be an address of this machine, such as 127.0.0.1 or 0.0.0.0"
        raise CannotListen(text) from None
    for family, kind, protocol, _, address in places:
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            made.bind(address)
        except OSError as error:
            made.close()
            if error.errno == errno.EADDRINUSE:
                raise CannotListen(f"port {port} is taken: name another one with --port") from None
            raise CannotListen(f"cannot listen at port {port} of --host {host}: {error.strerror}") from None
        yield made
