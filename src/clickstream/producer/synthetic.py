"""Synthetic clicks: any number of sessions, drawn to the statistics of UCI 553. Never its rows.

A session has a length, a country and a day; its clicks walk from one (category, page) to the next, and show
a product there. The catalogue is made up as well: as many products per category and page as the shop had,
priced to its quantiles. As in the data, category, page, price and price_2 are fixed by the product.
Everything made from it is labelled: the dataset's name is "synthetic", session ids begin with "s".
"""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.files.dataset import Dataset
from clickstream.files.rows import PageView
from clickstream.infra.errors import UsageError
from clickstream.producer.schedule import generator

NAME = "synthetic"
FIRST_DAY, DAYS = date(2008, 4, 1), 135
PAGES = 5
ON_A_PAGE = 18


class _Category(NamedTuple):
    name: str
    letter: str
    products: int
    prices: tuple[int, ...]
    """Quantiles 0, .1, .25, .5, .75, .9 and 1 over its products, US dollars."""
    begins: float
    """Share of sessions that begin here."""
    entry: tuple[float, ...]
    """Shares of the pages on which a visitor enters."""
    next: tuple[float, ...]
    """Shares of the categories of the next click."""


# fmt: off
_CATEGORIES = (
    _Category("trousers", "A", 43, (28, 33, 38, 38, 61, 62, 82), 0.385,
              (0.86, 0.115, 0.025, 0, 0), (0.803, 0.073, 0.074, 0.050)),
    _Category("skirts", "B", 33, (33, 38, 38, 52, 57, 62, 67), 0.269,
              (0.77, 0.23, 0, 0, 0), (0.063, 0.792, 0.093, 0.052)),
    _Category("blouses", "C", 59, (18, 28, 28, 43, 48, 53, 77), 0.185,
              (0.67, 0.165, 0.125, 0.04, 0), (0.068, 0.052, 0.797, 0.083)),
    _Category("sale", "P", 82, (23, 28, 33, 33, 43, 43, 65), 0.161,
              (0.71, 0.115, 0.083, 0.061, 0.031), (0.049, 0.043, 0.049, 0.859)),
)
# Shares of the page of the next click in the same category; a row is the page now.
_PAGING = (
    (0.80, 0.158, 0.031, 0.008, 0.003),
    (0.068, 0.724, 0.179, 0.024, 0.005),
    (0.055, 0.063, 0.66, 0.20, 0.022),
    (0.044, 0.03, 0.078, 0.697, 0.151),
    (0.081, 0.028, 0.04, 0.102, 0.749),
)
# Share of the sessions that are at most so long.
_LENGTHS = {
    0: 0.0, 1: 0.21, 2: 0.348, 3: 0.457, 4: 0.542, 5: 0.608, 6: 0.667, 7: 0.713, 8: 0.752, 9: 0.783,
    10: 0.81, 11: 0.835, 12: 0.8555, 14: 0.885, 16: 0.908, 19: 0.9324, 23: 0.954, 28: 0.9704, 33: 0.9806,
    42: 0.9906, 52: 0.995, 70: 0.9979, 89: 0.999, 110: 0.9996, 130: 0.9998, 195: 1.0,
}
# In thousandths.
_COUNTRIES = {
    29: 810, 9: 109, 24: 25, 46: 15, 44: 8, 16: 5, 21: 5, 34: 4, 41: 4, 3: 2, 27: 1, 12: 1, 42: 1, 37: 1,
}
# In hundredths of the products, colour 1 first.
_COLOURS = (4, 21, 8, 12, 1, 12, 5, 1, 10, 1, 4, 6, 4, 11)
# fmt: on
# Share of the products.
_EN_FACE = 0.74


class _Product(NamedTuple):
    cell: int
    code: str
    category: str
    price: float
    price_2: int
    page: int


def synthetic_dataset(sessions: int, seed: int = 42) -> Dataset:
    """A dataset of `sessions` sessions, s1, s2, …, in order of their days: a pure function of both numbers.

    Raises:
        UsageError: less than one session.
    """
    if sessions < 1:
        raise UsageError(f"{sessions} synthetic sessions cannot be replayed", "Ask for one or more.")
    random = generator("synthetic", sessions, seed)
    lengths = _lengths(random, sessions)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    catalogue = _catalogue()
    products = _walk(random, lengths, starts, catalogue)
    countries = _draw(random, np.array([list(_COUNTRIES.values())]), np.zeros(sessions, np.int64))
    days = np.sort(random.integers(DAYS, size=sessions)).tolist()
    calendar = [FIRST_DAY + timedelta(day) for day in range(DAYS)]
    return Dataset(
        name=NAME,
        path=None,
        sha256=hashlib.sha256(f"synthetic 1 {sessions} {seed}".encode()).hexdigest(),
        views=_views(catalogue),
        view_of=(products * len(_COUNTRIES) + np.repeat(countries, lengths)).astype(np.int32),
        session_ids=tuple(f"s{number}" for number in range(1, sessions + 1)),
        days=tuple(calendar[day] for day in days),
        starts=starts,
    )


def _lengths(random: np.random.Generator, sessions: int) -> NDArray[np.int64]:
    drawn = np.interp(random.random(sessions), list(_LENGTHS.values()), list(_LENGTHS))
    return np.maximum(np.ceil(drawn), 1).astype(np.int64)


def _walk(
    random: np.random.Generator,
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    catalogue: list[_Product],
) -> NDArray[np.int64]:
    """The product of each click, by its place in the catalogue."""
    first, moves = _cells()
    cells = np.array([product.cell for product in catalogue])
    # The n-th product of a cell draws visitors in proportion to 1 / (n + 5): the top one twice the mean.
    ranks = np.array([np.sum(cells[:place] == cell) for place, cell in enumerate(cells)])
    appeal = (cells == np.arange(len(moves))[:, None]) / (ranks + 6)
    products = np.empty(starts[-1], np.int64)
    # Longest first, so that at each step the sessions that go on are the first of them.
    longest = np.argsort(-lengths, kind="stable")
    going = np.searchsorted(-lengths[longest], -np.arange(lengths.max()), side="left")
    cells = _draw(random, first[None, :], np.zeros(len(lengths), np.int64))
    for step, count in enumerate(going.tolist()):
        if step:
            cells = _draw(random, moves, cells[:count])
        products[starts[longest[:count]] + step] = _draw(random, appeal, cells)
    return products


def _cells() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the first (category, page), and of the next one after each."""
    entry = np.array([category.entry for category in _CATEGORIES])
    begins = np.array([category.begins for category in _CATEGORIES])
    following = np.array([category.next for category in _CATEGORIES])
    moves = np.zeros((len(_CATEGORIES), PAGES, len(_CATEGORIES), PAGES))
    for here, category in enumerate(_CATEGORIES):
        pages = -(-category.products // ON_A_PAGE)
        moves[here] = following[here][None, :, None] * entry[None]
        paging = np.array(_PAGING)[:, :pages]
        moves[here, :, here, :pages] = following[here, here] * paging / paging.sum(1, keepdims=True)
        moves[here, :, here, pages:] = 0
    size = len(_CATEGORIES) * PAGES
    return (begins[:, None] * entry).reshape(size), moves.reshape(size, size)


def _draw(
    random: np.random.Generator, weights: NDArray[np.float64] | NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each of `rows` a column of that row of `weights`, drawn by weight."""
    shares = np.cumsum(weights, axis=1)
    totals = shares[:, -1:]
    # Each row's shares lie in [row, row + 1]: one sorted table for all rows.
    table = (shares / np.where(totals > 0, totals, 1) + np.arange(len(shares))[:, None]).ravel()
    places = np.searchsorted(table, rows + random.random(len(rows)), side="right")
    drawn: NDArray[np.int64] = places - rows * shares.shape[1]
    return drawn


def _catalogue() -> list[_Product]:
    # Of the first hundreds of seeds, the one whose prices and share of premium views are nearest the data's.
    random = generator("catalogue", 77)
    catalogue = []
    for place, category in enumerate(_CATEGORIES):
        quantiles = (np.arange(category.products) + 0.5) / category.products
        prices = np.rint(np.interp(quantiles, (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1), category.prices))
        random.shuffle(prices)
        for number, price in enumerate(prices.tolist()):
            page = number // ON_A_PAGE
            catalogue.append(
                _Product(
                    place * PAGES + page,
                    f"{category.letter}{number + 1}",
                    category.name,
                    price,
                    1 if price > prices.mean() else 2,
                    page + 1,
                )
            )
    return catalogue


def _views(catalogue: list[_Product]) -> tuple[PageView, ...]:
    """Product by product, and of each country by country."""
    random = generator("looks", 1)
    size = len(catalogue)
    colours = _draw(random, np.array([_COLOURS]), np.zeros(size, np.int64)) + 1
    locations = random.integers(1, 7, size)
    photography = np.where(random.random(size) < _EN_FACE, 1, 2)
    return tuple(
        PageView(
            country,
            product.code,
            product.category,
            colour,
            location,
            photo,
            product.price,
            product.price_2,
            product.page,
        )
        for product, colour, location, photo in zip(
            catalogue, colours.tolist(), locations.tolist(), photography.tolist(), strict=True
        )
        for country in _COUNTRIES
    )
