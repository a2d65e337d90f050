"""One training on a shop whose chances are known, for all tests of its models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from once import once
from threadpoolctl import threadpool_limits

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop_file import built_in
from clickstream.models.shop.examples import ShopWindow
from clickstream.offline.shop_windows import shop_windows
from clickstream.producer.synthetic_shop import SHOP, KnownSessions, known_sessions
from clickstream.training.shop.training import train_shop
from clickstream.training.writing import FittedShop, write_shop
from clickstream.windows.rules import Rules

SESSIONS = 2_000


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """As in training; more are slower on data this small."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="session")
def shop() -> ShopDefinition:
    return built_in(SHOP)


@pytest.fixture(scope="session")
def known() -> KnownSessions:
    return known_sessions(SESSIONS)


@pytest.fixture(scope="session")
def windows(known: KnownSessions) -> list[ShopWindow]:
    return shop_windows(known.sessions, Rules())


@pytest.fixture(scope="session")
def fitted(
    shop: ShopDefinition,
    known: KnownSessions,
    windows: list[ShopWindow],
    tmp_path_factory: pytest.TempPathFactory,
) -> FittedShop:
    return once(
        tmp_path_factory,
        "known-shop-2000",
        lambda: train_shop(shop, windows, data_sha256=known.sha256, data_name=SHOP),
    )


@pytest.fixture(scope="session")
def bundles(fitted: FittedShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all bundles: one of this shop is in it, changed by no test."""
    folder = tmp_path_factory.mktemp("home") / "bundles"
    write_shop(fitted, folder)
    return folder


@pytest.fixture(scope="session")
def bundle(bundles: Path, shop: ShopDefinition) -> Bundle:
    (path,) = (bundles / "shops" / SHOP).iterdir()
    return load_bundle(bundles, path, shop)
