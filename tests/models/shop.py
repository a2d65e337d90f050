"""A made-up shop: visits whose next click depends a little on the one before."""

from __future__ import annotations

import datetime
import random

from factory import step

from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import UCI553
from clickstream.training.training import TrainingSession

CATEGORIES = ("trousers", "skirts", "blouses", "sale")
MODELS = 12
FIRST_DAY = datetime.date(2008, 4, 1)
DAYS = 135


def visits(count: int, seed: int = 7) -> list[TrainingSession]:
    """`count` sessions over five months, in time order."""
    rng = random.Random(seed)
    days = sorted(rng.randrange(DAYS) for _ in range(count))
    return [
        TrainingSession(str(number), FIRST_DAY + datetime.timedelta(day), *visit(rng))
        for number, day in enumerate(days, 1)
    ]


def visit(rng: random.Random) -> tuple[Session, list[SessionStep]]:
    """A session and its clicks: a fifth have one, one in fifteen has many, some stay with what is dear."""
    length = 1 if rng.random() < 0.2 else 2 + int(rng.expovariate(0.04 if rng.random() < 0.07 else 0.3))
    dear = rng.random() < 0.5
    roaming = 0.6 if rng.random() < 0.4 else 0.1
    category = rng.randrange(len(CATEGORIES))
    steps = []
    for order in range(1, length + 1):
        if rng.random() < roaming:
            category = rng.randrange(len(CATEGORIES))
        model = rng.randrange(MODELS // 2) + (MODELS // 2 if rng.random() < (0.8 if dear else 0.3) else 0)
        page = min(5, 1 + int(rng.expovariate(1.2)) + order // 12)
        steps.append(click(order, category, model, page))
    session = UCI553.open(steps[0])
    for later in steps[1:]:
        session.add(later, 0)
    return session, steps


def click(order: int, category: int, model: int, page: int) -> SessionStep:
    """A click on a product, whose price follows from its category and model."""
    price = 20.0 + 5.0 * category + 3.0 * model
    dear = 1 if model >= MODELS // 2 else 2
    product = f"{'ABCP'[category]}{model}"
    return step(
        order, order, product=product, category=CATEGORIES[category], price=price, price_2=dear, page=page
    )
