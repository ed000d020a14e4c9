"""Codecs: every message comes back as it was; whatever else comes is refused, and never repeated."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import messages as wire
from protocol.codec import CODECS, DECODE_ERRORS, JSON, MSGPACK, BadFrame, Codec, decode_client, decode_server
from protocol.limits import MAX_FRAME_BYTES, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from tests.protocol.wires import CLIENT, SERVER, client_messages, server_messages

both = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.subprotocol)
any_codec = st.sampled_from([JSON, MSGPACK])
SECRET = "s3cr3t-t0ken"


def test_the_subprotocols_are_the_wires() -> None:
    assert CODECS == {SUBPROTOCOL_JSON: JSON, SUBPROTOCOL_MSGPACK: MSGPACK}
    assert JSON.text
    assert not MSGPACK.text


@both
@pytest.mark.parametrize("kind", CLIENT, ids=lambda kind: kind.__name__)
def test_a_clients_message_comes_back_as_it_was(codec: Codec, kind: type) -> None:
    @given(CLIENT[kind])
    def check(message: Any) -> None:
        assert decode_client(codec, codec.encode(message)) == message

    check()


@both
@pytest.mark.parametrize("kind", SERVER, ids=lambda kind: kind.__name__)
def test_a_servers_message_comes_back_as_it_was(codec: Codec, kind: type) -> None:
    @given(SERVER[kind])
    def check(message: Any) -> None:
        assert decode_server(codec, codec.encode(message)) == message

    check()


def decodes_or_is_refused(codec: Codec, data: bytes) -> None:
    for decode, raw in ((decode_client, codec.decode_client), (decode_server, codec.decode_server)):
        try:
            decode(codec, data)
        except BadFrame as refusal:
            assert str(refusal) == "not a message of this protocol"
            assert refusal.__cause__ is None
            assert refusal.__suppress_context__
            with pytest.raises(DECODE_ERRORS):  # the hot path catches exactly these
                raw(data)


@given(any_codec, st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_nothing_else(codec: Codec, data: bytes) -> None:
    decodes_or_is_refused(codec, data)


@given(any_codec, client_messages | server_messages, st.data())
def test_mutated_frames_decode_or_are_refused(codec: Codec, message: Any, data: st.DataObject) -> None:
    frame = bytearray(codec.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame)))
        how = data.draw(st.sampled_from(["set", "cut", "insert", "double", "drop"]))
        if how == "insert":
            frame[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif how == "cut":
            del frame[at:]
        elif how == "double":
            frame += frame[at : at + 40]
        elif how == "drop":
            del frame[at : at + 3]
        elif at < len(frame):
            frame[at] = data.draw(st.integers(0, 255))
    decodes_or_is_refused(codec, bytes(frame))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


numbers_and_texts = st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8)


@given(client_messages, st.dictionaries(st.text(min_size=3, max_size=8), numbers_and_texts))
def test_unknown_keys_are_ignored(message: Any, more: dict[str, Any]) -> None:
    unknown = {f"_{key}": value for key, value in more.items()}
    for codec, library in ((JSON, msgspec.json), (MSGPACK, msgspec.msgpack)):
        plain = library.decode(codec.encode(message))
        assert decode_client(codec, library.encode(unknown | plain)) == message


@given(
    st.sampled_from(list(CLIENT)),
    st.dictionaries(st.sampled_from(["name", "token", "seq", "at"]), json_values),
)
def test_fields_of_the_wrong_kind_are_refused(kind: type, wrong: dict[str, Any]) -> None:
    decodes_or_is_refused(JSON, JSON.encode({"t": kind.__struct_config__.tag} | wrong))


@both
@pytest.mark.parametrize("tag", ["", "joins", "welcome", "FIX", 1, None, ["fix"]])
def test_an_unknown_tag_is_refused(codec: Codec, tag: Any) -> None:
    with pytest.raises(BadFrame):
        decode_client(codec, codec.encode({"t": tag, "name": "x", "token": SECRET}))
    with pytest.raises(BadFrame):
        decode_client(codec, codec.encode({"name": "x", "token": SECRET}))


@given(any_codec, st.sampled_from([b"", SECRET.encode(), b'{"t":"' + SECRET.encode() + b'"}']), st.binary())
@example(MSGPACK, b"\x81\xa1t\xac" + SECRET.encode(), b"")
@example(JSON, b'{"t":"fix","' + SECRET.encode() + b'":1}', b"")
def test_a_refusal_repeats_nothing_of_what_came(codec: Codec, start: bytes, rest: bytes) -> None:
    try:
        decode_client(codec, start + rest)
    except BadFrame as refusal:
        assert SECRET not in repr(refusal)
        assert SECRET not in str(refusal)


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1" * 400, b"1" * 5000]
)
@pytest.mark.parametrize("field", [b"lat", b"acc", b"seq"])
def test_json_holds_no_number_that_is_not_one(number: bytes, field: bytes) -> None:
    frame = b'{"t":"fix","seq":1,"at":1,"lat":1,"lon":1,"' + field + b'":' + number + b"}"
    with pytest.raises(BadFrame):
        decode_client(JSON, frame)


def test_messagepack_can_carry_nan_which_the_ranges_then_refuse() -> None:
    from server.admission import check

    fix = decode_client(MSGPACK, MSGPACK.encode(wire.Fix(seq=1, at=1, lat=math.nan, lon=1.0)))
    assert isinstance(fix, wire.Fix)
    assert check(fix, 1, 0) is wire.Reject.RANGE


@pytest.mark.parametrize(
    ("codec", "frame"),
    [
        (JSON, b'{"t":"leave","x":' + b"[" * (MAX_FRAME_BYTES - 20)),
        (JSON, b'{"t":"leave","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
        (JSON, b'{"t":"leave","x":' + b'{"a":' * 13_000),
        (MSGPACK, b"\x82\xa1t\xa5leave\xa1x" + b"\x91" * (MAX_FRAME_BYTES - 20)),
        (MSGPACK, b"\x82\xa1t\xa5leave\xa1x" + b"\x81\xa1a" * 20_000),
        (MSGPACK, b"\xdf\xff\xff\xff\xff"),
        (MSGPACK, b"\xdd\xff\xff\xff\xff"),
        (MSGPACK, b"\xdb\xff\xff\xff\xff"),
        (JSON, b'{"t":"resume","token":"\\ud800"}'),
        (JSON, b'{"t":"resume","token":"\xff"}'),
        (MSGPACK, b"\x82\xa1t\xa6resume\xa5token\xa1\xff"),
    ],
    ids=[
        "[",
        "[]",
        "{",
        "array",
        "map",
        "big map",
        "big array",
        "big text",
        "surrogate",
        "utf-8",
        "utf-8 packed",
    ],
)
def test_deep_nesting_and_broken_text_cost_a_refusal(codec: Codec, frame: bytes) -> None:
    assert len(frame) <= MAX_FRAME_BYTES
    with pytest.raises(BadFrame):
        decode_client(codec, frame)


def test_of_doubled_keys_the_last_wins() -> None:
    frame = b'{"t":"kick","m":1,"m":2}'
    assert decode_client(JSON, frame) == wire.Kick(m=2)


@both
def test_the_two_directions_are_two_languages(codec: Codec) -> None:
    with pytest.raises(BadFrame):
        decode_server(codec, codec.encode(wire.Leave()))
    with pytest.raises(BadFrame):
        decode_client(codec, codec.encode(wire.Ack(seq=1)))
