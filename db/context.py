"""The fingerprint of what trips are recommended for: time, budget and weather. Pure.

The same context gives the same text everywhere: keys sorted, no spaces, only what counts. Nobody is in it.
"""

from __future__ import annotations

import hashlib

import msgspec

MINUTES_STEP = 30
BUDGET_STEP = 5_000
"""Contexts that are nearly the same share a recommendation: each number is taken to the step below."""


def context_hash(*, minutes: int, budget_max: int | None, weather: str, district: str = "") -> str:
    """SHA-256 of the context, as `trips.context_hash` keeps it: 64 hexadecimal digits.

    `minutes` is the time that there is, `budget_max` the most that one person spends (`None`: no bound),
    `weather` a word of the forecast, `district` where, if that counts. Raises `ValueError` for a number below
    0, or no weather.
    """
    if minutes < 0 or (budget_max is not None and budget_max < 0):
        raise ValueError("minutes and budget_max must be 0 or more")
    if not weather.strip():
        raise ValueError("a context has a weather")
    context = {
        "budget": None if budget_max is None else budget_max // BUDGET_STEP * BUDGET_STEP,
        "district": district.strip(),
        "minutes": minutes // MINUTES_STEP * MINUTES_STEP,
        "weather": weather.strip().lower(),
    }
    return hashlib.sha256(msgspec.json.encode(context, order="sorted")).hexdigest()
