"""Problems: every failure is a problem document that names the mend and repeats nothing of the request."""

from __future__ import annotations

import json
import logging

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server.bodies import Change, NewSession
from server.problems import Kind, Problem, Shield, invalid, on_http_exception, on_problem

SECRET = "37.566300-hunter2"


async def _breaks(request: Request) -> Response:
    raise RuntimeError(SECRET)


async def _is_away(request: Request) -> Response:
    raise ConnectionRefusedError(SECRET)


async def _refuses(request: Request) -> Response:
    raise Problem(Kind.CONFLICT, "Make a new one.")


async def _works(request: Request) -> Response:
    return PlainTextResponse("fine")


def _app() -> Starlette:
    calls = {"/breaks": _breaks, "/away": _is_away, "/refuses": _refuses, "/works": _works}
    return Starlette(
        routes=[Route(path, call) for path, call in calls.items()],
        middleware=[Middleware(Shield)],
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception},
    )


async def _get(path: str, method: str = "GET") -> httpx.Response:
    transport = httpx.ASGITransport(_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://party") as client:
        return await client.request(method, path)


@pytest.mark.parametrize(
    ("path", "method", "status", "slug"),
    [
        ("/breaks", "GET", 500, "internal"),
        ("/away", "GET", 503, "unavailable"),
        ("/refuses", "GET", 409, "conflict"),
        ("/nowhere", "GET", 404, "not_found"),
        ("/works", "DELETE", 405, "method_not_allowed"),
    ],
)
async def test_every_failure_is_a_problem_document(path: str, method: str, status: int, slug: str) -> None:
    answer = await _get(path, method)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    document = answer.json()
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["status"] == status
    assert document["type"] == f"/docs#{slug}"


async def test_a_wrong_method_is_told_the_right_ones() -> None:
    assert "GET" in (await _get("/works", "DELETE")).headers["allow"]


@pytest.mark.parametrize("path", ["/breaks", "/away"])
async def test_the_text_of_an_exception_is_neither_sent_nor_logged(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await _get(path)
    assert SECRET not in answer.text + str(answer.headers)
    assert "Traceback" not in answer.text
    records = [record for record in caplog.records if record.name == "partyline.http"]
    assert records
    assert all(record.exc_info is None for record in records)
    assert SECRET not in "".join(str(record.__dict__) for record in caplog.records)


async def test_away_says_when_to_come_again() -> None:
    assert (await _get("/away")).headers["retry-after"]


@pytest.mark.parametrize("path", ["/works", "/breaks", "/nowhere"])
async def test_security_headers_are_on_every_answer(path: str) -> None:
    headers = (await _get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def _refusal(body: object, kind: type[msgspec.Struct]) -> Problem:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(json.dumps(body), type=kind)
    return invalid(caught.value)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "display_name"),
        ([], "object"),
        ({"display_name": ""}, "$.display_name"),
        ({"display_name": "a", "precision": SECRET}, "$.precision"),
        ({"display_name": "a", "options": {"tick_ms": 1}}, ">= 250"),
        ({"display_name": "a", "options": {SECRET: 1}}, "$.options"),
        ({"display_name": "a", "options": {"rough_cell_m": 333}}, "$.options.rough_cell_m"),
    ],
)
def test_an_invalid_body_is_told_where_and_what(body: object, named: str) -> None:
    problem = _refusal(body, NewSession)
    assert problem.kind is Kind.INVALID
    assert named in problem.detail
    assert SECRET not in problem.detail


_keys = st.text(min_size=1).filter(lambda key: key not in ("precision", "options"))


@given(key=_keys.map(lambda key: f"zz{key}zz"), value=st.text(min_size=8).map(lambda text: f"qq{text}qq"))
def test_nothing_that_was_sent_comes_back(key: str, value: str) -> None:
    for body in ({key: value}, {"precision": value}, {"options": {key: value}}, {"options": value}):
        assert key not in _refusal(body, Change).detail
        assert value not in _refusal(body, Change).detail


def test_unauthorized_says_how_to_authenticate() -> None:
    assert Problem(Kind.UNAUTHORIZED).response().headers["www-authenticate"].startswith("Bearer ")
