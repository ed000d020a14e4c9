"""docs/asyncapi.yaml is what the Structs say, and says what every code means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft7Validator

from protocol import asyncapi
from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.precision import Precision

FILE = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
DOCUMENT = asyncapi.document()


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "$ref":
                yield part
            else:
                yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def _resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_file_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == asyncapi.document_yaml(), (
        "run: python -m protocol.asyncapi > docs/asyncapi.yaml"
    )


def test_yaml_says_the_same_as_the_values() -> None:
    assert yaml.safe_load(asyncapi.document_yaml()) == DOCUMENT


def test_every_reference_leads_somewhere() -> None:
    references = set(_references(DOCUMENT))
    assert len(references) > 20
    for reference in references:
        assert isinstance(_resolve(reference), dict)


def test_each_direction_has_its_messages() -> None:
    said = {
        name: {reference["$ref"].rsplit("/", 1)[1] for reference in operation["messages"]}
        for name, operation in DOCUMENT["operations"].items()
    }
    assert said == {
        "fromClient": {"join", "resume", "fix", "fixes", "share", "set_precision", "kick", "end", "leave"},
        "fromServer": {
            "welcome", "positions", "member", "precision", "ack", "reject", "policy", "ended", "error",
        },
    }  # fmt: skip


def test_every_code_has_its_meaning() -> None:
    stream = DOCUMENT["channels"]["stream"]
    assert set(stream["x-close-codes"]) == set(map(int, CloseCode))
    for code, entry in stream["x-close-codes"].items():
        assert entry["comeAgain"] is (code < 4500)
        assert entry["meaning"].endswith(".")
    assert set(stream["x-reject-codes"]) == {code.value for code in wire.Reject}


MESSAGES = [
    wire.Join("Ana", "token"),
    wire.Fix(1, 1_700_000_000_000, 37.5, 127.0),
    wire.Fixes([wire.Fix(1, 2, 3.0, 4.0, bat=0.5)]),
    wire.Kick(2),
    wire.Positions(5, [(1, 5, 37.5, 127.0, 5.0, None, None)]),
    wire.Member(1, "Ana", wire.Role.HOST, wire.MemberState.LIVE),
    wire.PrecisionChanged(Precision.ROUGH, 2),
    wire.Rejected(1, wire.Reject.LATE),
    wire.Policy(1000, False),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_sent_fits_its_schema(message: msgspec.Struct) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$ref": f"#/components/schemas/{type(message).__name__}",
        "components": DOCUMENT["components"],
    }
    Draft7Validator.check_schema(DOCUMENT["components"]["schemas"][type(message).__name__])
    Draft7Validator(schema).validate(msgspec.json.decode(msgspec.json.encode(message)))


def test_a_position_row_that_is_too_short_does_not_fit() -> None:
    schema = {"$ref": "#/components/schemas/Positions", "components": DOCUMENT["components"]}
    assert not Draft7Validator(schema).is_valid({"t": "positions", "at": 1, "p": [[1, 2]]})
