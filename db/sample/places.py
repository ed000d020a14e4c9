"""Sample places in the districts of a made-up Seoul, with their tags and their crowded days. Pure."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from itertools import product
from random import Random

from db.sample.draw import FIRST_ID, Lines, Plan, batch, dice, jsonb, line, moment, point, popular, vector
from db.sample.words import BUDGETS, CATEGORIES, CONGESTION, DISTRICTS, FIRST, MOODS, SCENES, SECOND, TIMES

BUSY_PLACES = 2_000
"""Places whose visitors are counted, and on how many days."""
BUSY_DAYS = 30

COST_BANDS = ("free", "low", "low", "medium", "medium", "medium", "high")
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = [
    jsonb({day: [[f"{opens:02}:00", f"{closes:02}:00"]] for day in _WEEK if day != shut})
    for opens, closes, shut in product((8, 10, 11, 17), (20, 22, 23), ("", "mon", "sun"))
]


@cache
def tag_names() -> list[tuple[str, str, str]]:
    """Every tag: type, name, and what else it is called."""
    plain = [
        (kind, name, english)
        for kind, words in (("mood", MOODS), ("time", TIMES), ("congestion", CONGESTION), ("budget", BUDGETS))
        for name, english in words
    ]
    plain += [("category", name, key) for key, name, _ in CATEGORIES]
    finer = [
        ("mood", f"{mood} {time} {scene}", f"{english} {when}")
        for (mood, english), (time, when), scene in product(MOODS, TIMES, SCENES)
    ]
    finer += [
        ("category", f"{place} {scene} {cost}", f"{key} {english}")
        for (key, place, _), scene, (cost, english) in product(CATEGORIES, SCENES, BUDGETS)
    ]
    return plain + finer


def tags(plan: Plan, number: int) -> Lines:
    """All tags; they are the same for every plan."""
    rows = [
        line(FIRST_ID + n, name, kind, jsonb({"aka": other.split(), "order": n, "set": f"s{n // 12}"}))
        for n, (kind, name, other) in enumerate(tag_names())
    ]
    return {"tags": rows}


def centre(plan: Plan, n: int) -> tuple[float, float, str, str]:
    """Where place `n` lies, without drawing the others: longitude, latitude, district in both languages."""
    own = Random(plan.seed * 2**40 + n)
    name, english, lon, lat = DISTRICTS[popular(own, len(DISTRICTS))]
    return round(own.gauss(lon, 0.011), 6), round(own.gauss(lat, 0.008), 6), name, english


def places(plan: Plan, number: int) -> Lines:
    """One batch of places, with their tags and days."""
    rng = dice(plan, "places", number)
    rows, tagged, days = [], [], []
    for n in batch(plan.places, number):
        rows.append(_place(plan, rng, n))
        chosen = {popular(rng, len(tag_names())) for _ in range(rng.choice((1, 1, 2)))}
        tagged += [
            line(FIRST_ID + n, FIRST_ID + tag, round(rng.random(), 2), round(rng.uniform(0.6, 1), 2))
            for tag in sorted(chosen)
        ]
        if n < BUSY_PLACES:
            days += _days(plan, rng, n)
    return {"places": rows, "place_tags": tagged, "place_congestion_daily": days}


def _place(plan: Plan, rng: Random, n: int) -> str:
    lon, lat, district, district_en = centre(plan, n)
    kind = popular(rng, len(CATEGORIES))
    category, ending, ending_en = CATEGORIES[kind]
    (first, first_en), (second, second_en) = rng.choice(FIRST), rng.choice(SECOND)
    korean, english = f"{first} {second} {ending}", f"{first_en} {second_en} {ending_en}"
    chance = rng.random()
    name = korean if chance < 0.65 else english if chance < 0.85 else f"{korean} ({english})"
    if rng.random() < 0.2:
        name += f" {district[:-1]}점" if chance < 0.65 else f" {district_en}"
    every = max(1, plan.places // max(1, plan.embeddings))
    embedded = plan.embeddings and n % every == 0 and n // every < plan.embeddings
    return line(
        FIRST_ID + n,
        FIRST_ID,
        point(lon, lat),
        moment(plan, rng.uniform(0, 30)),
        moment(plan, rng.uniform(365, 1500)),
        rng.choice((20, 30, 45, 60, 90, 120)),
        round(rng.betavariate(2, 3), 2),
        "t" if rng.random() < 0.97 else "f",
        name,
        f"sample-{n}",
        category,
        f"서울 {district} {first}로 {rng.randint(1, 400)}",
        district,
        rng.choice(COST_BANDS),
        rng.choice(_HOURS),
        jsonb({MOODS[n % 3 + 3 * step][1]: round(rng.random(), 2) for step in range(4)}),
        vector(rng, kind) if embedded else None,
    )


def _days(plan: Plan, rng: Random, n: int) -> list[str]:
    usual = rng.randint(20, 2_000)
    return [
        line(
            FIRST_ID + n,
            (plan.until - timedelta(days=ago)).date(),
            int(usual * rng.uniform(0.5, 1.8)),
            int(rng.expovariate(0.1)) % 180,
        )
        for ago in range(1, BUSY_DAYS + 1)
    ]
