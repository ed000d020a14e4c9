"""What is served beside the API: the page, the descriptions, health, metrics."""

from __future__ import annotations

import re

from protocol import asyncapi
from server import openapi
from tests.server.http_api import (
    Api,
    api_fixture,  # noqa: F401
    is_problem,
)


async def test_wrong_paths_and_methods(api: Api) -> None:
    is_problem(await api("GET", "/v1/nothing"), 404)
    is_problem(await api("GET", "/v1/sessions/abc"), 404)
    is_problem(await api("GET", "/page/../settings.py"), 404)
    answer = await api("PUT", "/v1/sessions/1")
    is_problem(answer, 405)
    assert {"GET", "PATCH", "DELETE"} <= set(re.split(r",\s*", answer.headers["allow"]))


async def test_ready_says_what_is_missing(api: Api) -> None:
    answer = await api("GET", "/readyz")
    assert (answer.status_code, answer.json()["lease"]) == (503, False)
    api.gateway.lease.renewed(api.gateway.lease.now())
    answer = await api("GET", "/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"postgresql": True, "lease": True, "draining": False},
    )
    api.gateway.commands.draining = True
    assert (await api("GET", "/readyz")).status_code == 503
    await api.gateway.pool.close()
    answer = await api("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json()["postgresql"] is False
    assert (await api("GET", "/healthz")).status_code == 200
    assert (await api("GET", "/page/page.js")).status_code == 200


async def test_without_a_database_a_call_is_told_to_come_again(api: Api) -> None:
    party = await api.party()
    await api.gateway.pool.close()
    answer = await api("GET", party.path, party.host)
    is_problem(answer, 503)
    assert answer.headers["retry-after"]


async def test_metrics_count_and_name_nobody(api: Api) -> None:
    party = await api.party(display_name="Xanthippe")
    await api.gateway.redis.xadd("batch:3", {"d": b"x"})
    text = (await api("GET", "/metrics")).text
    assert "partyline_stream_entries 1.0" in text
    assert "partyline_connections 0.0" in text
    assert "Xanthippe" not in text
    assert party.sharable_token not in text


async def test_pages_hold_to_their_own_policy(api: Api) -> None:
    for path in ("/", "/j", "/docs"):
        await holds_to_its_policy(api, path)


async def holds_to_its_policy(api: Api, path: str) -> None:
    answer = await api("GET", path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=\"/)", answer.text)
    for link in re.findall(r"(?:src|href)=\"(/[^\"#]*)\"", answer.text):
        assert (await api("GET", link)).status_code == 200


async def test_the_descriptions_are_served(api: Api) -> None:
    assert (await api("GET", "/docs/openapi.yaml")).text == openapi.document_yaml()
    assert (await api("GET", "/docs/asyncapi.yaml")).text == asyncapi.document_yaml()
