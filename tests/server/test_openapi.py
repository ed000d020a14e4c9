"""docs/openapi.yaml is what the code says, is valid OpenAPI 3.1, and has every route."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml
from openapi_spec_validator import validate
from starlette.routing import Route

from server import openapi
from server.api import make_app
from server.gateway import Gateway
from server.redis_link import connect_redis
from server.settings import Settings

FILE = Path(__file__).parents[2] / "docs" / "openapi.yaml"


def test_the_file_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi.document_yaml(), (
        "run: python -m server.openapi > docs/openapi.yaml"
    )


def test_it_is_valid() -> None:
    validate(yaml.safe_load(openapi.document_yaml()))


async def test_it_has_every_route_and_no_other() -> None:
    nobody = cast(Any, None)  # routes are made without asking anybody
    app = make_app(Gateway(Settings(mask_key="00" * 32), nobody, connect_redis("redis://nowhere")))
    routes = {
        (method.lower(), route.path.replace(":int", ""))
        for route in app.routes
        if isinstance(route, Route) and not route.path.startswith("/page/")
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert routes == {(call.method, call.path) for call in openapi.CALLS}


def test_every_body_refuses_unknown_keys() -> None:
    schemas = openapi.document()["components"]["schemas"]
    for call in openapi.CALLS:
        if call.body is not None:
            assert schemas[call.body.__name__]["additionalProperties"] is False
