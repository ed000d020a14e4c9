"""Bearers: who asks. Against a real database; nothing a caller can send is an oracle for what exists."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator

import jwt
import pytest

from db import sessions as store
from db.pool import Pool, connect
from protocol.options import Options
from protocol.precision import Precision
from server.auth import UserTokens
from server.bearers import MAX_ID, Bearers, bearer_of
from server.problems import Kind, Problem
from server.tokens import digest, new_member_token

SECRET = "a secret of the product's accounts, 32+"
AS_GATEWAY = "?options=-c%20role%3Dpartyline_gateway"


@pytest.fixture
async def pool(migrated_database: str) -> AsyncIterator[Pool]:
    """Connections that may do what the gateway's role may."""
    url = migrated_database + AS_GATEWAY
    pool = await connect(url, min_size=1, max_size=2, application_name="test-bearers")
    yield pool
    await pool.close()


@pytest.fixture
def bearers(pool: Pool) -> Bearers:
    return Bearers(pool=pool, users=UserTokens(secret=SECRET, jwks_url=None, audience=None))


def token_of(user_id: object, *, secret: str = SECRET, **claims: object) -> str:
    return jwt.encode({"sub": str(user_id), "exp": time.time() + 60, **claims}, secret, algorithm="HS256")


class Party:
    """A session with a host and a member."""

    def __init__(self) -> None:
        self.sharable, self.host_token, self.member_token = (new_member_token() for _ in range(3))
        self.id = self.host = self.member = 0

    @classmethod
    async def make(cls, pool: Pool) -> Party:
        party = cls()
        party.host, party.member = await store.create_guest(pool), await store.create_guest(pool)
        row, _ = await store.create_session(
            pool,
            host_user_id=party.host,
            display_name="Host",
            sharable_digest=digest(party.sharable),
            member_digest=digest(party.host_token),
            precision=Precision.EXACT,
            options=Options(ttl_hours=1),
            started_at_ms=1_790_000_000_000,
        )
        party.id = row.id
        await store.join(
            pool,
            digest=digest(party.sharable),
            user_id=party.member,
            display_name="Ana",
            member_digest=digest(party.member_token),
            precision=Precision.EXACT,
            now_ms=1_790_000_000_000,
        )
        return party


async def refusal(bearers: Bearers, token: str | None, session_id: int) -> Problem:
    with pytest.raises(Problem) as caught:
        await bearers.standing(token, session_id)
    assert token is None or token not in caught.value.detail + str(caught.value.headers)
    return caught.value


@pytest.mark.parametrize(
    "header", ["", "Basic YTpi", "Bearer", "Bearer ", "Bearer a b", f"Bearer {'x' * 4097}", "é"]
)
def test_another_form_of_authorization_is_refused(header: str) -> None:
    with pytest.raises(Problem) as caught:
        bearer_of({"authorization": header})
    assert caught.value.kind is Kind.UNAUTHORIZED


def test_the_scheme_has_no_case() -> None:
    assert bearer_of({"authorization": "bEaReR  abc"}) == "abc"
    assert bearer_of({}) is None


async def test_tokens_and_accounts_have_their_standing(bearers: Bearers, pool: Pool) -> None:
    party = await Party.make(pool)
    for token, number, is_host in (
        (party.host_token, 1, True),
        (party.member_token, 2, False),
        (token_of(party.host), 1, True),
        (token_of(party.member), 2, False),
    ):
        standing = await bearers.standing(token, party.id)
        assert (standing.row.id, standing.member.member_no, standing.is_host) == (party.id, number, is_host)
    with pytest.raises(Problem) as caught:
        (await bearers.standing(party.member_token, party.id)).must_host()
    assert caught.value.kind is Kind.FORBIDDEN
    assert (
        await bearers.user(party.member_token) == await bearers.user(token_of(party.member)) == party.member
    )


async def test_a_foreign_session_and_none_are_the_same(bearers: Bearers, pool: Pool) -> None:
    mine, theirs = await Party.make(pool), await Party.make(pool)
    refusals = [
        await refusal(bearers, token, session_id)
        for token in (mine.host_token, token_of(mine.host))
        for session_id in (theirs.id, 10**9, MAX_ID)
    ]
    assert {problem.document() for problem in refusals} == {refusals[0].document()}
    assert refusals[0].kind is Kind.NOT_FOUND


async def test_what_is_no_bearer_is_unauthorized(bearers: Bearers, pool: Pool) -> None:
    party = await Party.make(pool)
    stranger = await store.create_guest(pool)
    wrong = [
        None,
        secrets.token_urlsafe(32),
        party.sharable,
        token_of(party.host, secret="another secret of 32 characters or more"),
        token_of(party.host, exp=time.time() - 60),
        token_of("Ana"),
        token_of(10**30),
        token_of(-1),
        token_of(stranger + 1000),
        jwt.encode({"sub": str(party.host)}, SECRET, algorithm="HS256"),
        "a.b.c",
    ]
    for token in wrong:
        assert (await refusal(bearers, token, party.id)).kind is Kind.UNAUTHORIZED


async def test_who_left_was_removed_or_erased_has_no_standing(bearers: Bearers, pool: Pool) -> None:
    left, kicked, erased = [await Party.make(pool) for _ in range(3)]
    await store.leave(pool, left.id, left.member)
    await store.kick(pool, kicked.id, 2)
    await store.erase_user(pool, erased.member)
    for party in (left, kicked, erased):
        assert (await refusal(bearers, party.member_token, party.id)).kind is Kind.UNAUTHORIZED
    for party, kind in ((left, Kind.NOT_FOUND), (kicked, Kind.NOT_FOUND), (erased, Kind.UNAUTHORIZED)):
        assert (await refusal(bearers, token_of(party.member), party.id)).kind is kind


async def test_the_host_stays_the_host_after_leaving(bearers: Bearers, pool: Pool) -> None:
    party = await Party.make(pool)
    await store.leave(pool, party.id, party.host)
    assert (await bearers.standing(token_of(party.host), party.id)).is_host
