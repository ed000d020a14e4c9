"""Tokens: random, not repeated, kept as digests."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from protocol.limits import MAX_FRAME_BYTES
from server.auth import is_jwt
from server.tokens import digest, new_member_token, new_sharable_token


def test_tokens_are_not_repeated_and_stand_in_a_url_as_they_are() -> None:
    for new, bits in ((new_sharable_token, 128), (new_member_token, 256)):
        made = {new() for _ in range(1000)}
        assert len(made) == 1000
        for token in made:
            assert len(token) * 6 >= bits
            assert token.isascii()
            assert all(letter.isalnum() or letter in "-_" for letter in token)


def test_our_tokens_are_not_taken_for_jwts() -> None:
    assert not any(is_jwt(new_member_token()) for _ in range(1000))
    assert is_jwt("a.b.c")


@given(st.text(max_size=200))
def test_the_digest_is_sha_256(token: str) -> None:
    assert digest(token) == hashlib.sha256(token.encode()).digest()


@given(st.binary(max_size=200))
def test_what_a_header_held_has_a_digest_whatever_its_bytes(raw: bytes) -> None:
    """Headers are read with surrogates in place of what is not text."""
    assert len(digest(raw.decode("ascii", "surrogateescape"))) == 32


def test_a_tokens_length_costs_nothing_special() -> None:
    assert len(digest("x" * MAX_FRAME_BYTES)) == 32
