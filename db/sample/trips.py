"""Sample people, what they are asked to do, the trips they make, and what they say of them. Pure."""

from __future__ import annotations

from db.context import context_hash
from db.sample.draw import FIRST_ID, NULL, Lines, Plan, batch, dice, jsonb, line, moment, popular, vector
from db.sample.words import MOODS, SCENES

NODES = 8
"""Stops are numbered in steps of this; a trip has 3 to 6."""
MISSIONS = 60
MODES = ("walk", "transit", "bike")
WEATHERS = ("clear", "cloudy", "rain", "snow")


def missions(plan: Plan, number: int) -> Lines:
    """All missions; they are the same for every plan."""
    rows = [
        line(
            FIRST_ID + n,
            "t",
            f"{MOODS[n % len(MOODS)][0]} {SCENES[n % len(SCENES)]} {n + 1}곳",
            "사진을 남기고 한 줄을 적어 주세요",
            jsonb(["arrive", "photo", "note"]),
            f"badge-{n % 12}",
        )
        for n in range(MISSIONS)
    ]
    return {"missions": rows}


def users(plan: Plan, number: int) -> Lines:
    """One batch of people, with their missions."""
    rng = dice(plan, "users", number)
    rows, assigned = [], []
    every = max(1, plan.users // 200)
    for n in batch(plan.users, number):
        rows.append(
            line(
                FIRST_ID + n,
                f"sample-{n}@example.com",
                moment(plan, rng.uniform(1, 400)),
                rng.choice(("ko-KR", "ko-KR", "ko-KR", "en-US")),
                rng.choice((120, 180, 240, 360)),
                rng.choice(("low", "medium", "high")),
                rng.choice(MODES),
                jsonb({"moods": [english for _, english in rng.sample(MOODS, 2)]}),
                vector(rng, rng.randrange(8)) if plan.embeddings and n % every == 0 else NULL,
            )
        )
        for at, mission in enumerate(sorted(rng.sample(range(MISSIONS), rng.randint(0, 2)))):
            ago = rng.uniform(10, 300)
            status = rng.choice(("pending", "completed", "expired"))
            assigned.append(
                line(
                    FIRST_ID + 2 * n + at,
                    FIRST_ID + n,
                    FIRST_ID + mission,
                    moment(plan, ago),
                    moment(plan, ago - 7),
                    status,
                )
            )
    return {"users": rows, "mission_assignments": assigned}


def context(number: int) -> str:
    """The fingerprint of one of the contexts that trips are recommended for."""
    return context_hash(
        minutes=(number % 8 + 1) * 60,
        budget_max=number // 8 % 10 * 10_000,
        weather=WEATHERS[number // 80 % 4],
    )


CONTEXTS = 320


def trips(plan: Plan, number: int) -> Lines:
    """One batch of trips: most recommended to all, some a person's; with stops and feedback."""
    rng = dice(plan, "trips", number)
    contexts = [context(n) for n in range(CONTEXTS)]
    rows, nodes, said = [], [], []
    for n in batch(plan.trips, number):
        ago = rng.uniform(25, 300)
        least = rng.randrange(0, 30_000, 1_000)
        owner = FIRST_ID + popular(rng, plan.users) if rng.random() < 0.3 else None
        rows.append(
            line(
                FIRST_ID + n,
                owner,
                moment(plan, ago),
                rng.randrange(60, 481, 30),
                least,
                least + rng.randrange(5_000, 50_000, 5_000),
                round(rng.random(), 2),
                rng.choice(MODES),
                rng.choice(contexts),
            )
        )
        stops = rng.randint(3, 6)
        nodes += [
            line(
                FIRST_ID + n * NODES + at,
                FIRST_ID + n,
                FIRST_ID + popular(rng, plan.places),
                at + 1,
                rng.choice((20, 30, 45, 60, 90)),
                rng.choice(MODES) if at else None,
            )
            for at in range(stops)
        ]
        if rng.random() < 0.4:
            at = rng.randrange(stops)
            said.append(
                line(
                    FIRST_ID + n,
                    FIRST_ID + n,
                    FIRST_ID + n * NODES + at if rng.random() < 0.7 else None,
                    FIRST_ID + popular(rng, plan.users),
                    moment(plan, ago - rng.uniform(0.1, 20)),
                    rng.choice((15, 30, 60, 120)),
                    rng.choice((1, 2, 2, 3, 3, 3)),
                    rng.choice(("좋았어요", "조금 붐볐어요", "next time earlier", "다시 가고 싶어요")),
                )
            )
    return {"trips": rows, "trip_nodes": nodes, "feedback": said}
