"""Whose address a connection counts for: the peer's, or the one that a trusted proxy names. Pure.

`X-Forwarded-For` is believed only from the proxies that are listed, read from its end, and no further than
the first address that is no listed proxy. IPv6 counts by /64: one household has 2^64 of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOPS_BOUND = 32
"""Entries of `X-Forwarded-For` that are looked at, from its end."""
UNKNOWN = "local"
"""The key of a peer without an address: a Unix socket."""


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas. Raises `ValueError`."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


class Addresses:
    """The proxies that are believed, and who is not limited."""

    __slots__ = ("_proxies", "_unlimited")

    def __init__(self, *, proxies: Iterable[Network] = (), unlimited: Iterable[Network] = ()) -> None:
        self._proxies = tuple(proxies)
        self._unlimited = tuple(unlimited)

    def is_proxy(self, peer: str) -> bool:
        """Whether connections from here are somebody else's."""
        return _within(_read(peer), self._proxies)

    def key(self, peer: str, forwarded: Iterable[str] = ()) -> str | None:
        """What counts as one address; `None`: it is not limited. `forwarded`: the header's lines in order."""
        client = _read(peer)
        if _within(client, self._proxies):
            hops = ",".join(forwarded).split(",")[-HOPS_BOUND:]
            for hop in reversed(hops):
                named = _read(hop.strip())
                if named is None:  # not an address: nothing before it is believed
                    break
                client = named
                if not _within(named, self._proxies):
                    break
        if client is None:
            return UNKNOWN
        if _within(client, self._unlimited):
            return None
        return str(client) if isinstance(client, IPv4Address) else str(ip_network((client, 64), strict=False))


def _read(text: str) -> Address | None:
    """An address, also `1.2.3.4:80` and `[::1]:80` as some proxies write it; `None` for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _within(address: Address | None, listed: tuple[Network, ...]) -> bool:
    return address is not None and any(address in network for network in listed)
