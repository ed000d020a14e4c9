"""Sample posts: reviews over a year, most of them of few places, and doodles where people stand. Pure."""

from __future__ import annotations

from random import Random

from db.sample.draw import (
    BATCH,
    FIRST_ID,
    NULL,
    SPAN_DAYS,
    Lines,
    Plan,
    batch,
    batches,
    dice,
    jsonb,
    line,
    moment,
    point,
    popular,
    vector,
)
from db.sample.places import centre, tag_names
from db.sample.words import POST_ENGLISH, POST_KOREAN, RARE

DOODLES_PER_POSTS = 200
"""One doodle for so many reviews."""
DOODLES_AT_ONCE = 20
"""Doodles that one author leaves without moving."""
DOODLE_DAYS = 20
DOODLE_KEEP_DAYS = 30
RARELY = 0.01
STATUSES = ("published",) * 18 + ("pending", "hidden")


def body(rng: Random) -> str:
    """5 to 20 words, in one language."""
    words = POST_KOREAN if rng.random() < 0.7 else POST_ENGLISH
    drawn = rng.choices(words, k=rng.randint(5, 20))
    if rng.random() < RARELY:
        drawn[rng.randrange(len(drawn))] = rng.choice(RARE)
    return " ".join(drawn)


def posts(plan: Plan, number: int) -> Lines:
    """One batch of reviews, the oldest first, with their tags."""
    rng = dice(plan, "posts", number)
    rows, tagged = [], []
    every = max(1, 2 * plan.posts // max(1, plan.embeddings))
    for n in batch(plan.posts, number):
        written = moment(plan, SPAN_DAYS * (1 - (n + rng.random()) / plan.posts))
        embedded = plan.embeddings and n % every == 0
        rows.append(
            line(
                FIRST_ID + n,
                FIRST_ID + popular(rng, plan.users),
                FIRST_ID + popular(rng, plan.places) if rng.random() < 0.9 else None,
                written,
                NULL,
                "review",
                "public" if rng.random() < 0.95 else "private",
                rng.choice(STATUSES),
                body(rng),
                jsonb([f"https://images.example/{n}.jpg"]) if rng.random() < 0.1 else "[]",
                NULL,
                vector(rng, rng.randrange(8)) if embedded else NULL,
            )
        )
        if rng.random() < 0.1:
            tagged.append(line(FIRST_ID + n, FIRST_ID + popular(rng, len(tag_names())), written, NULL))
    return {"posts": rows, "post_tags": tagged}


def doodle_batches(plan: Plan) -> int:
    """How many authors leave doodles."""
    return -(-plan.posts // (DOODLES_PER_POSTS * DOODLES_AT_ONCE))


def author_place(plan: Plan, number: int) -> tuple[float, float]:
    """Where the author of a batch of doodles stands: at one of the popular places."""
    lon, lat, *_ = centre(plan, popular(dice(plan, "doodles at", number), plan.places))
    return lon, lat


def first_doodle(plan: Plan) -> int:
    """Doodles are numbered after the last batch of reviews."""
    return batches(plan.posts) * BATCH


def doodles(plan: Plan, number: int) -> Lines:
    """The doodles of one author, within 100 m."""
    rng = dice(plan, "doodles", number)
    lon, lat = author_place(plan, number)
    rows = []
    for n in range(DOODLES_AT_ONCE):
        ago = rng.uniform(0.01, DOODLE_DAYS)
        rows.append(
            line(
                FIRST_ID + first_doodle(plan) + number * DOODLES_AT_ONCE + n,
                FIRST_ID + popular(rng, plan.users),
                NULL,
                moment(plan, ago),
                moment(plan, ago - DOODLE_KEEP_DAYS),
                "doodle",
                "public",
                rng.choice(STATUSES),
                body(rng),
                "[]",
                point(
                    round(lon + rng.uniform(-0.0007, 0.0007), 6), round(lat + rng.uniform(-0.0006, 0.0006), 6)
                ),
                NULL,
            )
        )
    return {"posts": rows}
