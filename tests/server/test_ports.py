"""Ports: what is wrong with one is a line, and several of us may share one that nobody else has."""

from __future__ import annotations

import socket

import pytest

from server import ports
from server.ports import CannotListen
from tests.e2e.conftest import free_port


def test_a_port_can_be_shared_by_ours_alone() -> None:
    port = free_port()
    ports.check("127.0.0.1", port)
    ours = ports.shared("127.0.0.1", port) + ports.shared("127.0.0.1", port)
    try:
        assert len(ours) == 2
        for one in ours:
            one.listen()
        with pytest.raises(CannotListen, match=f"port {port} is taken"):
            ports.check("127.0.0.1", port)
        with socket.create_connection(("127.0.0.1", port)):
            pass
    finally:
        for one in ours:
            one.close()
    ports.check("127.0.0.1", port)


def test_a_port_that_somebody_has_is_not_shared() -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        port = theirs.getsockname()[1]
        with pytest.raises(CannotListen, match="is taken: name another one with --port"):
            ports.shared("127.0.0.1", port)
        with pytest.raises(CannotListen, match=r"metrics port .* name another one with --metrics-port"):
            ports.metrics(port)


def test_a_name_with_two_addresses_has_two_sockets() -> None:
    port = free_port()
    found = ports.shared("localhost", port)
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}
        assert {one.getsockname()[0] for one in found} == addresses
    finally:
        for one in found:
            one.close()


def test_what_is_no_port_or_no_address_of_ours() -> None:
    with pytest.raises(CannotListen, match="above 65535"):
        ports.metrics(65_536)
    for host in ("no.such.host.invalid", "203.0.113.7"):
        with pytest.raises(CannotListen, match="--host"):
            ports.shared(host, free_port())
