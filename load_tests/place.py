"""Where a WebSocket is, and how it is dialled: names looked up once, and poor networks imitated."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_RCVBUF, SOCK_STREAM, SOL_SOCKET, TCP_MAXSEG
from socket import socket as Raw

from websockets.uri import parse_uri

from load_tests.client_socket import OPEN_S, ClientSocket

SMALL_SEGMENT = 536
"""Bytes of TCP, as on a poor network: with large ones the server's kernel would keep megabytes."""


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a WebSocket is. `host` is dialled; the handshake names what stands in `url`."""

    url: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    buffer: int | None = None
    """Bytes that the kernel keeps for who does not read; `None`: as it likes. `host` must be a number."""

    @classmethod
    def of(cls, url: str) -> Place:
        """The place of a `ws:` or `wss:` address."""
        uri = parse_uri(url)
        return cls(url, uri.host, uri.port, _tls() if uri.secure else None)

    @classmethod
    def each(cls, urls: Sequence[str], first: int = 0) -> list[Place]:
        """The places of several gateways in the order in which a phone tries them, `first` before all."""
        first %= len(urls)
        return [cls.of(url) for url in (*urls[first:], *urls[:first])]

    async def found(self) -> Place:
        """The same with the number of an address that answers, so that a name is looked up once and not by
        each phone. Raises `OSError` and `TimeoutError`."""
        async with asyncio.timeout(OPEN_S):
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, self.host, self.port
            )
        host = transport.get_extra_info("peername")[0]
        transport.abort()
        return replace(self, host=host)

    async def dial(self, socket: ClientSocket) -> None:
        """Connect a fresh socket; its listener hears of the rest. Raises `OSError` and `TimeoutError`."""
        loop = asyncio.get_running_loop()
        name = parse_uri(self.url).host if self.tls else None
        async with asyncio.timeout(OPEN_S):
            if self.buffer is None:
                await loop.create_connection(
                    lambda: socket, self.host, self.port, ssl=self.tls, server_hostname=name
                )
                return
            raw = Raw(AF_INET6 if ":" in self.host else AF_INET, SOCK_STREAM)
            try:  # before it connects: a buffer that shrinks later throws away what is under way
                raw.setsockopt(SOL_SOCKET, SO_RCVBUF, self.buffer)
                raw.setsockopt(IPPROTO_TCP, TCP_MAXSEG, SMALL_SEGMENT)
                raw.setblocking(False)
                await loop.sock_connect(raw, (self.host, self.port))
                await loop.create_connection(lambda: socket, sock=raw, ssl=self.tls, server_hostname=name)
            except BaseException:
                raw.close()
                raise
