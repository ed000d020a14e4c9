"""Frames: what we write is what the RFC's own parser reads, at every length where the form changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from server.frames import data_frame, frame_size

lengths = st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 65537]) | st.integers(0, 70_000)


def read_by_a_client(data: bytes) -> list[Any]:
    client = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    return client.events_received()


@given(lengths, st.booleans())
def test_a_client_reads_what_was_written(length: int, text: bool) -> None:
    payload = b"x" * length
    (frame,) = read_by_a_client(data_frame(payload, text=text))
    assert frame == Frame(Opcode.TEXT if text else Opcode.BINARY, payload)


@given(lengths, st.booleans(), st.binary(max_size=20), st.binary(max_size=20))
def test_the_size_is_told_wherever_the_frame_starts(
    length: int, mask: bool, before: bytes, after: bytes
) -> None:
    frame = Frame(Opcode.BINARY, b"x" * length).serialize(mask=mask)
    header, payload = frame_size(before + frame + after, len(before))
    assert payload == length
    assert header + payload == len(frame)


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
@pytest.mark.parametrize("mask", [True, False])
def test_half_a_header_says_how_much_more_it_needs(length: int, mask: bool) -> None:
    frame = Frame(Opcode.BINARY, b"x" * length).serialize(mask=mask)
    for cut in range(14):
        needed, payload = frame_size(frame[:cut], 0)
        if payload < 0:
            assert cut < needed <= len(frame)
        else:
            assert payload == length
            assert needed + payload == len(frame)
