"""What the load sends is what a WebSocket server reads; what it looks for is found wherever a read was cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import SERVER, State
from websockets.server import ServerProtocol

from load_tests.bench.frames import (
    FIX_MARK,
    MASK,
    PING,
    TEXT,
    client_frame,
    fix,
    handshake,
    lateness_ms,
    latitude,
    mqtt_connect,
    mqtt_publish,
    mqtt_subscribe,
    server_frames,
    shows,
)
from protocol.codec import JSON, decode_client
from protocol.messages import Fix


def open_server() -> ServerProtocol:
    server = ServerProtocol(subprotocols=["partyline.v1.json"])  # type: ignore[list-item]
    server.receive_data(handshake(8080, "/v1/stream", "partyline.v1.json"))
    (request,) = server.events_received()
    server.send_response(server.accept(request))  # type: ignore[arg-type]
    assert server.state is State.OPEN
    assert server.side is SERVER
    return server


@given(st.binary(max_size=2000))
def test_a_server_reads_the_payload_that_was_framed(payload: bytes) -> None:
    server = open_server()
    server.receive_data(client_frame(payload, 2) + client_frame(payload[:100], PING))
    data, ping = server.events_received()
    assert data.data == payload  # type: ignore[union-attr]
    assert (ping.opcode, ping.data) == (Opcode.PING, payload[:100])  # type: ignore[union-attr]


@given(st.integers(0, 9_999), st.integers(1, 4_999), st.integers(0, 2**45))
def test_a_fix_is_one_that_the_server_takes(phone: int, seq: int, at_ms: int) -> None:
    data = fix(phone, seq, at_ms)
    decoded = decode_client(JSON, data)
    assert isinstance(decoded, Fix)
    assert (decoded.seq, decoded.at) == (seq, at_ms)
    assert -90 <= decoded.lat <= 90
    assert data.count(FIX_MARK) == 1
    assert shows(data, phone, seq)


@given(
    st.tuples(st.integers(0, 9_999), st.integers(1, 4_999)),
    st.tuples(st.integers(0, 9_999), st.integers(1, 4_999)),
)
def test_no_two_fixes_show_the_same_place(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (latitude(*one) == latitude(*other)) == (one == other)
    row = json.dumps({"p": [[1, 5, float(latitude(*one)), 126.976912, 5.5, None, None]]}).replace(" ", "")
    assert shows(row.encode(), *one)
    if one != other:
        assert not shows(row.encode(), *other)


def server_frame(payload: bytes) -> bytes:
    n = len(payload)
    head = bytes((0x80 | TEXT, n)) if n < 126 else bytes((0x80 | TEXT, 126, n >> 8, n & 255))
    return head + payload


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 2000))
def test_whole_frames_are_taken_apart_and_a_cut_one_is_left(payloads: list[bytes], cut: int) -> None:
    data = b"".join(map(server_frame, payloads))
    assert list(server_frames(data)) == payloads
    some = list(server_frames(data[:cut]))
    assert some == payloads[: len(some)]


def test_a_server_that_masks_nothing_cannot_be_read_by_chance() -> None:
    assert bytes(4) != MASK
    assert b"hello" not in client_frame(b"hello")


def test_lateness_counts_from_the_tick_before() -> None:
    assert lateness_ms([(1000, 1001), (2000, 2003), (3050, 3055)], 1000) == [3, 55]
    assert lateness_ms([(1000, 1001)], 1000) == []


def test_mqtt_packets_have_their_lengths_in_them() -> None:
    assert mqtt_connect(b"a") == b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a"
    assert mqtt_subscribe(b"p/1") == b"\x82\x09\x00\x01\x00\x00\x03p/1\x04"
    long = mqtt_publish(b"p/1", bytes(200))
    assert long[:3] == b"\x30\xce\x01"
    assert len(long) == 3 + 206


@pytest.mark.parametrize("path", ["/relay/7", "/tick/7"])
def test_the_handshake_names_the_path(path: str) -> None:
    assert handshake(1, path, "").startswith(f"GET {path} HTTP/1.1\r\n".encode())
