"""Takes real frames and makes wrong ones of them: the wire's own mistakes, drawn from a seed.

An input is what one read of a socket gives: one to four frames, of which some are changed. `MUTATIONS` names
what can happen to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import msgspec

from protocol.codec import Codec

ODD_LENGTHS = (
    0,
    1,
    124,
    125,
    126,
    127,
    255,
    65_535,
    65_536,
    65_537,
    2**31 - 1,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_ODD_WORDS = (
    *("1e308", "-1e308", "1e999", "NaN", "-0", "1e-400", "null", "true", "[]", "{}", '""', '"', "\\", "0.1e"),
    *("9007199254740992", "-9007199254740993", "18446744073709551616", '"\\ud800"', "\ud800", "\0"),
    *('{"t":"fix"}', '"t":', ",", ":", "[" * 600, "]" * 9, '"share"', '"exact"', '"private"'),
)
ODD_TEXTS = (
    *(word.encode("utf-8", "surrogatepass") for word in _ODD_WORDS),
    *(
        b"\xff",
        b"\xc0\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xdc\xff\xff",
        b"\xc9\x7f\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
    ),
)

ODD_VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 499, 2**31 - 1, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63 - 1, -(2**63), 2**64 - 1),
    *(0.0, -0.0, 90.0, 90.1, -180.0, 180.0, 1e308, -1e308, 5e-324, 1.5, None, True, False),
    *(
        "",
        "x" * 41,
        "x" * 5_000,
        "\x00",
        "ü€😀",
        "fix",
        "private",
        "rough",
        "live",
        [],
        [[]],
        {},
        {"t": "fix"},
        [1] * 600,
    ),
)


def parts(frame: bytes) -> tuple[int, bytes | None, bytes]:
    """First byte, mask key or `None`, unmasked payload."""
    length, at = frame[1] & 0x7F, 2
    if length > 125:
        at = 4 if length == 126 else 10
    if not frame[1] & 0x80:
        return frame[0], None, frame[at:]
    return frame[0], frame[at : at + 4], xor(frame[at + 4 :], frame[at : at + 4])


def xor(payload: bytes, key: bytes) -> bytes:
    """Masks, and unmasks."""
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


def framed(first: int, key: bytes | None, payload: bytes) -> bytes:
    """A frame again, of honest length."""
    length, bit = len(payload), 0 if key is None else 0x80
    if length < 126:
        head = bytes((first, bit | length))
    elif length < 65536:
        head = bytes((first, bit | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + length.to_bytes(8, "big")
    return head + payload if key is None else head + key + xor(payload, key)


class Mutator:
    """An endless run of inputs."""

    def __init__(self, frames: Sequence[bytes], seed: int, codec: Codec) -> None:
        self._frames = list(frames)
        self._parts = [parts(frame) for frame in frames]
        self._random = Random(seed)
        decode: Callable[[bytes], Any] = msgspec.json.decode if codec.text else msgspec.msgpack.decode
        self._encode = codec.encode
        self._documents = [decode(payload) for first, _, payload in self._parts if first in (0x81, 0x82)]
        self._ways = [way for way, weight in MUTATIONS.items() for _ in range(weight)]

    def next(self) -> bytes:
        """The next input."""
        random = self._random
        made = [self._one() for _ in range(1 if random.random() < 0.7 else random.randint(2, 4))]
        if len(made) > 1 and random.random() < 0.3:
            return self._interleaved(made)
        return b"".join(made)

    def payload(self) -> bytes:
        """The next wrong payload: what a codec is given."""
        _, _, payload = self._random.choice(self._parts)
        return self._wrong(payload)

    def cuts(self, data: bytes) -> list[bytes]:
        """The same bytes as a network may deliver them: mostly at once, else in two or three pieces."""
        random = self._random
        if len(data) < 2 or random.random() < 0.8:
            return [data]
        at = sorted(random.randrange(len(data)) for _ in range(random.randint(1, 2)))
        return [data[start:stop] for start, stop in zip([0, *at], [*at, len(data)], strict=True)]

    def _one(self) -> bytes:
        way = self._random.choice(self._ways)
        return way(self, self._random.randrange(len(self._frames)))

    # --- what can happen to a frame ---------------------------------------------------------------

    def as_it_is(self, which: int) -> bytes:
        return self._frames[which]

    def bits(self, which: int) -> bytes:
        frame = bytearray(self._frames[which])
        for _ in range(self._random.choice((1, 1, 1, 2, 8))):
            frame[self._random.randrange(len(frame))] ^= 1 << self._random.randrange(8)
        return bytes(frame)

    def content(self, which: int) -> bytes:
        first, key, payload = self._parts[which]
        return framed(first, key, self._wrong(payload))

    def splice(self, which: int) -> bytes:
        one, other = self._frames[which], self._random.choice(self._frames)
        return one[: self._random.randrange(len(one))] + other[self._random.randrange(len(other)) :]

    def length(self, which: int) -> bytes:
        first, key, payload = self._parts[which]
        length, bit = self._random.choice(ODD_LENGTHS), 0 if key is None else 0x80
        heads = [bytes((first, bit | 127)) + length.to_bytes(8, "big")]
        if length < 65536:
            heads.append(bytes((first, bit | 126)) + length.to_bytes(2, "big"))
        if length < 126:
            heads.append(bytes((first, bit | length)))
        return self._random.choice(heads) + (key or b"") + payload

    def opcode(self, which: int) -> bytes:
        first, key, payload = self._parts[which]
        payload = payload[: self._random.choice((0, 1, 2, 125, 126, len(payload)))]
        return framed(self._random.randrange(256), key, payload)

    def mask(self, which: int) -> bytes:
        first, key, payload = self._parts[which]
        other = None if key is not None and self._random.random() < 0.5 else self._random.randbytes(4)
        return framed(first, other, payload)

    def fragments(self, which: int) -> bytes:
        first, key, payload = self._parts[which]
        random, pieces = self._random, bytearray()
        count = random.choice((1, 2, 2, 3, 20))
        for n in range(count):
            start, stop = len(payload) * n // count, len(payload) * (n + 1) // count
            opcode = first & 0x0F if n == 0 else 0 if random.random() < 0.95 else random.randrange(16)
            fin = 0x80 if n == count - 1 and random.random() < 0.9 else 0
            pieces += framed(fin | opcode, key, payload[start:stop])
            if random.random() < 0.1:
                pieces += self._random.choice(self._frames)
        return bytes(pieces)

    def truncated(self, which: int) -> bytes:
        frame = self._frames[which]
        return frame[: self._random.randrange(len(frame))]

    def noise(self, which: int) -> bytes:
        return self._random.randbytes(self._random.choice((1, 2, 6, 14, 130, 2_000)))

    def _interleaved(self, frames: list[bytes]) -> bytes:
        """Frames that were written by two hands at once."""
        pieces, random = bytearray(), self._random
        while frames:
            frame = frames.pop(random.randrange(len(frames)))
            cut = random.randrange(len(frame) + 1)
            pieces += frame[:cut]
            if cut < len(frame) and random.random() < 0.5:
                frames.append(frame[cut:])
        return bytes(pieces)

    def _wrong(self, payload: bytes) -> bytes:
        random, size = self._random, len(payload)
        at = random.randrange(size + 1)
        if random.random() < 0.5:
            return self._wrong_value()
        match random.randrange(6):
            case 0:
                return payload[:at] + random.choice(ODD_TEXTS) + payload[at:]
            case 1:
                return (
                    payload[:at] + random.choice(ODD_TEXTS) + payload[min(size, at + random.randrange(9)) :]
                )
            case 2:
                return payload[:at] + payload[min(size, at + random.randrange(1, 9)) :]
            case 3:
                _, _, other = random.choice(self._parts)
                return payload[:at] + other[random.randrange(len(other) + 1) :]
            case 4:
                return payload[:at] + bytes((random.randrange(256),)) + payload[at + 1 :]
            case _:
                return payload[:at] * random.choice((2, 3)) + payload[at:]

    def _wrong_value(self) -> bytes:
        """A whole document of the codec, with something in it that should not be."""
        random = self._random
        document = inner = deepcopy(random.choice(self._documents))
        while inner and random.random() < 0.7:
            deeper = random.choice(list(inner.values() if isinstance(inner, dict) else inner))
            if not isinstance(deeper, dict | list):
                break
            inner = deeper
        if not inner:
            return self._encode(document)
        key = random.choice(list(inner)) if isinstance(inner, dict) else random.randrange(len(inner))
        match random.randrange(5):
            case 0:
                del inner[key]
            case 1 if isinstance(inner, dict):
                inner[random.choice(("x", "t", "seq", "at", "m"))] = random.choice(ODD_VALUES)
            case 2 if isinstance(inner, list):
                inner.extend(inner[:300])
            case _:
                inner[key] = random.choice(ODD_VALUES)
        return self._encode(document)


MUTATIONS: dict[Callable[[Mutator, int], bytes], int] = {
    Mutator.as_it_is: 6,
    Mutator.bits: 3,
    Mutator.content: 4,
    Mutator.splice: 1,
    Mutator.length: 1,
    Mutator.opcode: 1,
    Mutator.mask: 1,
    Mutator.fragments: 2,
    Mutator.truncated: 1,
    Mutator.noise: 1,
}
"""Each with its weight: a talk must get far enough, or nothing but the door is tried."""
