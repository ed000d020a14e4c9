"""Who a user is: JWTs of the product's accounts, checked against an HS256 secret or a JWKS.

The subject is the user's id. What does not check raises `BadToken`, which never repeats the token.
"""

from __future__ import annotations

import asyncio

import jwt

ALGORITHMS = ["RS256", "ES256", "EdDSA"]
"""What a JWKS may sign with; never HS256, whose key would be public there."""


class BadToken(Exception):
    """The token does not say who somebody is."""

    def __init__(self) -> None:
        super().__init__("the token is not valid here")


class KeysUnavailable(OSError):
    """The JWKS could not be fetched; nothing is known of the token."""

    def __init__(self) -> None:
        super().__init__("the keys of users' tokens could not be fetched")


class UserTokens:
    """Checks users' JWTs. With neither secret nor JWKS there are only guests."""

    def __init__(self, *, secret: str | None, jwks_url: str | None, audience: str | None) -> None:
        self._secret = secret
        self._audience = audience
        self._keys = jwt.PyJWKClient(jwks_url, cache_keys=True, timeout=5) if jwks_url else None

    async def user_id(self, token: str) -> int:
        """The user that a JWT is for. Raises `BadToken`, or `KeysUnavailable`: come again."""
        try:
            if self._keys is not None:
                key = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
                claims = jwt.decode(
                    token,
                    key,
                    algorithms=ALGORITHMS,
                    audience=self._audience,
                    options={"require": ["exp", "sub"]},
                )
            elif self._secret:
                claims = jwt.decode(
                    token,
                    self._secret,
                    algorithms=["HS256"],
                    audience=self._audience,
                    options={"require": ["exp", "sub"]},
                )
            else:
                raise BadToken
            return _id_of(claims["sub"])
        except jwt.PyJWKClientConnectionError:
            raise KeysUnavailable from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise BadToken from None


def _id_of(subject: object) -> int:
    """The subject as a user's id: decimal digits, from 1 to 2^63 - 1. Raises `ValueError`."""
    if not isinstance(subject, str) or not (subject.isascii() and subject.isdecimal() and len(subject) < 20):
        raise ValueError("not a user's id")
    user_id = int(subject)
    if not 0 < user_id < 2**63:
        raise ValueError("not a user's id")
    return user_id


def is_jwt(token: str) -> bool:
    """Whether a bearer token is a user's JWT rather than one of our own tokens, which have no dots."""
    return token.count(".") == 2
