"""Whose address it is: nobody makes himself somebody else by a header, and one household is one address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.addresses import HOPS_BOUND, UNKNOWN, Addresses, networks

PROXIES = networks("10.0.0.0/8, 2001:db8:1::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded", "key"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # not a proxy: the header is nothing
        ("10.0.0.5", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.5", ["198.51.100.9, 198.51.100.1"], "198.51.100.1"),  # the client wrote the first
        ("10.0.0.5", ["198.51.100.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.5", ["198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.5", ["198.51.100.1, nonsense"], "10.0.0.5"),
        ("10.0.0.5", ["198.51.100.1, unknown, 10.1.1.1"], "10.1.1.1"),
        ("10.0.0.5", [""], "10.0.0.5"),
        ("10.0.0.5", [], "10.0.0.5"),
        ("10.0.0.5", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.5", ["[2001:db8:2::1]:4711"], "2001:db8:2::/64"),
        ("2001:db8:1::1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:2:3:4:5:6:7", [], "2001:db8:2:3::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("::ffff:203.0.113.7", [], "203.0.113.7"),
        ("::ffff:10.0.0.5", ["198.51.100.1"], "198.51.100.1"),
        ("", [], UNKNOWN),
    ],
)
def test_what_counts(peer: str, forwarded: list[str], key: str) -> None:
    assert Addresses(proxies=PROXIES).key(peer, forwarded) == key


def test_without_proxies_the_header_is_ignored_wherever_it_comes_from() -> None:
    assert Addresses().key("127.0.0.1", ["198.51.100.1"]) == "127.0.0.1"


def test_who_is_unlimited_is_so_by_the_client_not_by_the_proxy() -> None:
    addresses = Addresses(proxies=PROXIES, unlimited=networks("127.0.0.0/8, 10.0.0.0/8"))
    assert addresses.key("127.0.0.1") is None
    assert addresses.key("10.0.0.5", ["198.51.100.1"]) == "198.51.100.1"
    assert addresses.is_proxy("10.0.0.5")
    assert not addresses.is_proxy("127.0.0.1")


def test_no_more_than_the_last_hops_are_looked_at() -> None:
    addresses = Addresses(proxies=PROXIES)
    proxies = ", ".join(["10.0.0.1"] * HOPS_BOUND)
    assert addresses.key("10.0.0.5", [f"198.51.100.1, {proxies}"]) == "10.0.0.1"


@given(st.lists(st.text(max_size=60), max_size=5))
def test_whatever_stands_in_the_header_the_last_hop_decides(lines: list[str]) -> None:
    addresses = Addresses(proxies=PROXIES)
    assert addresses.key("10.0.0.5", [*lines, "198.51.100.1"]) == "198.51.100.1"
    assert addresses.key("10.0.0.5", lines)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", "1.2.3"])
def test_what_is_no_network_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        networks(text)
