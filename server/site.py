"""What the gateway serves beside the API: the page, the API's description, health and metrics.

Files are read when the gateway starts, from beside this module, so that an installed package has them too;
the descriptions are made from the code. Nothing here asks for a bearer or shows anything of a session.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import msgspec
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db.fence import SHARDS
from protocol import asyncapi
from server import bodies, openapi
from server.metrics import GatewayCollector, exposition
from server.problems import Kind
from server.streams import stream_key

if TYPE_CHECKING:
    from server.gateway import Gateway

PAGE = Path(__file__).parent / "page"
READY_S = 2.0
"""How long PostgreSQL may take to answer `/readyz`, and Redis to answer `/metrics`."""

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_FRESH = {"Cache-Control": "no-cache"}

Handler = Callable[[Request], Awaitable[Response]]


def site_routes(gateway: Gateway) -> list[Route]:
    """The routes."""
    index = _file(PAGE / "index.html")
    described = {"openapi.yaml": openapi.document_yaml(), "asyncapi.yaml": asyncapi.document_yaml()}
    return [
        Route("/", index),
        Route("/j", index),
        *(
            Route(f"/page/{path.name}", _file(path))
            for path in sorted(PAGE.iterdir())
            if path.suffix in _TYPES
        ),
        Route("/docs", _text(docs_page(described), "text/html")),
        *(Route(f"/docs/{name}", _text(text, "application/yaml")) for name, text in described.items()),
        *health_routes(gateway),
    ]


def health_routes(gateway: Gateway) -> list[Route]:
    """Health and metrics: all that there is at a metrics port."""
    return [
        Route("/healthz", _text("ok\n", "text/plain")),
        Route("/readyz", _Ready(gateway).answer),
        Route("/metrics", _Metrics(gateway).answer),
    ]


def _file(path: Path) -> Handler:
    return _text(path.read_text(encoding="utf-8"), _TYPES[path.suffix])


def _text(text: str, media_type: str) -> Handler:
    async def answer(request: Request) -> Response:
        return Response(text, headers=_FRESH, media_type=media_type)

    return answer


def docs_page(described: dict[str, str]) -> str:
    """The page at `/docs`: the problems, and both descriptions as text."""
    problems = "".join(
        f'<li id="{kind.slug}"><b>{kind.status} {html.escape(HTTPStatus(kind.status).phrase)}</b> '
        f"(<code>{kind.slug}</code>): {html.escape(kind.meaning)}</li>"
        for kind in Kind
    )
    texts = "".join(
        f'<h2><a href="/docs/{name}">{name}</a></h2><pre tabindex="0">{html.escape(text)}</pre>'
        for name, text in described.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>Partyline: the API</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/page/page.css"></head>'
        '<body class="docs"><main><h1>Partyline: the API</h1>'
        '<p>HTTP is described by <a href="/docs/openapi.yaml">openapi.yaml</a> (OpenAPI 3.1), the WebSocket '
        '<code>/v1/stream</code> by <a href="/docs/asyncapi.yaml">asyncapi.yaml</a> (AsyncAPI 3.0).</p>'
        f"<h2>Problems</h2><ul>{problems}</ul>{texts}</main></body></html>"
    )


class _Ready:
    """`/readyz`: whether this gateway should get connections."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def answer(self, request: Request) -> Response:
        gateway = self._gateway
        state = bodies.Readiness(
            postgresql=await self._postgresql(), lease=gateway.lease.held(), draining=gateway.draining
        )
        status = HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(
            msgspec.json.encode(state), status, {"Cache-Control": "no-store"}, media_type="application/json"
        )

    async def _postgresql(self) -> bool:
        try:
            async with asyncio.timeout(READY_S):
                return bool(await self._gateway.pool.fetchval("SELECT true"))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False


class _Metrics:
    """`/metrics`: the gateway's counts and levels."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def answer(self, request: Request) -> Response:
        gateway = self._gateway
        gauges = gateway.gauges()
        entries = await self._stream_entries()
        if entries is not None:  # without Redis there is no such number; 0 would be a lie
            gauges["stream_entries"] = ("Batches in the streams, all shards", float(entries))
        text = exposition(GatewayCollector(gateway.hub.stats, lambda: gauges))
        return Response(text, headers={"Cache-Control": "no-store"}, media_type="text/plain; version=0.0.4")

    async def _stream_entries(self) -> int | None:
        try:
            async with asyncio.timeout(READY_S):
                pipeline = self._gateway.redis.pipeline(transaction=False)
                for shard in range(SHARDS):
                    pipeline.xlen(stream_key(shard))
                return sum(map(int, await pipeline.execute()))
        except (RedisError, OSError, TimeoutError):
            return None
