"""Sharable and member tokens: made here, kept only as SHA-256 digests."""

from __future__ import annotations

import hashlib
import secrets


def new_sharable_token() -> str:
    """128 random bits in 22 characters: short enough to be spelled out, long enough not to be guessed."""
    return secrets.token_urlsafe(16)


def new_member_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What the tables hold: 32 bytes. Any text has a digest, also what a header held that is not UTF-8."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
