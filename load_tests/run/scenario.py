"""A scenario: a small TOML file that says what a crowd does and what is expected of the server. Pure.

Every key may be left out; a key that is not known, or a value out of range, is `CannotStart` with one
sentence that names the file and the key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec

from load_tests.cannot_start import CannotStart
from load_tests.crowd.city import SEOUL, City
from load_tests.crowd.model import MAX_MEMBERS, MAX_MINUTES, MAX_PARTY, MIN_RATE
from load_tests.crowd.traits import MAX_SPELL_S, Seconds, Traits
from protocol.limits import FIXES_PER_S
from protocol.options import Options

DEFAULT = "mixed"
_SHIPPED = files("load_tests.run").joinpath("scenarios")

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Limit = Annotated[float, msgspec.Meta(ge=0)]


class Storm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At `at_s`, seconds from the start, this share of all connections is cut at once."""

    at_s: Annotated[float, msgspec.Meta(ge=0)]
    share: Share = 1.0


class Slow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """This share of the phones stops to read now and then. Each pause and the time between two is drawn."""

    share: Share = 0.0
    pause_s: Seconds = (10.0, 30.0)
    every_s: Seconds = (5.0, 30.0)

    def __post_init__(self) -> None:
        for name in ("pause_s", "every_s"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= MAX_SPELL_S:
                raise ValueError(f"{name} is a pair: give the least and the most, above 0 to {MAX_SPELL_S:g}")


class Objectives(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is expected of the server; `None`: nothing. Times in milliseconds, of the phones that read."""

    delay_p50_ms: Limit | None = None
    """From sending a fix to its arrival at another phone, at most; the tick is in it."""
    delay_p99_ms: Limit | None = None
    ack_p99_ms: Limit | None = None
    join_p99_ms: Limit | None = None
    connected_share: Share | None = None
    """Connected of those who wanted to be, from the crowd's start to its end, at least."""
    rejected_share: Share | None = None
    """Of the offered fixes, at most; those that a host's tightening refuses are not counted."""
    held_at_end: Limit | None = 0
    """Fixes that are neither acked nor rejected when all have waited for it, at most."""
    lost: Limit | None = 0
    """Fixes that a phone had no room for, at most."""
    violations: Limit = 0
    """What the audit found, at most."""


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A city's sides in degrees."""

    south: float
    west: float
    north: float
    east: float
    name: str = "the box"

    def city(self) -> City:
        return City(self.name, self.south, self.west, self.north, self.east)

    def __post_init__(self) -> None:
        self.city()


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A crowd, what it does, what is expected. The first four numbers give way to the command line."""

    about: str = ""
    members: Annotated[int, msgspec.Meta(ge=1, le=MAX_MEMBERS)] = 100
    party_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_PARTY)] = 5
    rate: Annotated[float, msgspec.Meta(ge=MIN_RATE, le=FIXES_PER_S)] = 1.0
    minutes: Annotated[float, msgspec.Meta(gt=0, le=MAX_MINUTES)] = 1.0
    joins_per_s: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 100.0
    """How fast the crowd comes in before the start, all workers together."""
    city: Box | None = None
    traits: Traits = msgspec.field(default_factory=Traits)
    session: Options = msgspec.field(default_factory=lambda: Options(max_members=MAX_PARTY))
    storms: Annotated[list[Storm], msgspec.Meta(max_length=1_000)] = []
    slow: Slow = msgspec.field(default_factory=Slow)
    objectives: Objectives = msgspec.field(default_factory=Objectives)

    @property
    def place(self) -> City:
        return self.city.city() if self.city else SEOUL


def shipped() -> Iterator[tuple[str, Scenario]]:
    """The scenarios that come with the program, by name; the default first."""
    names = sorted(path.name.removesuffix(".toml") for path in _SHIPPED.iterdir())
    for name in sorted(names, key=lambda name: name != DEFAULT):
        yield name, load(name)


def load(name_or_file: str) -> Scenario:
    """A shipped scenario by its name, or one from a file. Raises `CannotStart`."""
    known = _SHIPPED.joinpath(f"{name_or_file}.toml")
    if "/" not in name_or_file and known.is_file():
        return parse(known.read_text("utf-8"), f"{name_or_file}.toml")
    path = Path(name_or_file)
    try:
        return parse(path.read_text("utf-8"), path.name)
    except (FileNotFoundError, IsADirectoryError):
        names = ", ".join(name for name, _ in shipped())
        raise CannotStart(
            f"There is no scenario {path.name}: give a file, or one of {names} (see --list-scenarios)."
        ) from None
    except OSError as error:
        raise CannotStart(f"{path.name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CannotStart(f"{path.name} is not a text in UTF-8: write the scenario as TOML.") from None


def parse(text: str, file: str) -> Scenario:
    """A scenario of its text. Raises `CannotStart` naming `file` and the key."""
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotStart(f"{file} is no TOML: {error}.") from None
    if isinstance(raw.get("session", {}), dict):
        raw["session"] = {"max_members": MAX_PARTY, **raw.get("session", {})}
    try:
        return msgspec.convert(raw, Scenario)
    except msgspec.ValidationError as error:
        raise CannotStart(f"{file}: {_said(str(error))}.") from None


def _said(message: str) -> str:
    """msgspec's sentence with the key first, as the file writes it."""
    what, _, where = message.partition(" - at `$")
    key = where.rstrip("`").lstrip(".")
    what = what.replace("Object contains unknown field", "there is no key").replace("`", "")
    return f"{key}: {what[:1].lower()}{what[1:]}" if key else what[:1].lower() + what[1:]
