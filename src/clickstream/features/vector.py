"""The named feature sets of the models of UCI 553, taken from a session by its shop.

`reference` sees every click, as in the published work: it contains the click that decides the outcome.
`prefix`, the evidence, looks at all clicks but the last, and adds the last product seen. A set's hash covers
names, order and definitions: a model is used with its own set only.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from clickstream.features.definition import ShopDefinition
from clickstream.features.session import FOLD_VERSION
from clickstream.features.shop_file import built_in

Features = dict[str, Any]
"""Feature name -> int, float or str."""

DEFINITIONS: dict[str, str] = {
    "session_length": "number of clicks",
    "n_unique_models": "distinct products",
    "n_unique_categories": "distinct categories",
    "category_entropy": "-sum p log2 p over the shares of clicks by category, bits",
    "mean_price": "mean price, US dollars",
    "max_price": "highest price, US dollars",
    "min_price": "lowest price, US dollars",
    "std_price": "population standard deviation of the price, US dollars",
    "last_price": "price of the last click, US dollars",
    "last_price_2": "price_2 of the last click",
    "num_high_price_views": "clicks with price_2 = 1",
    "pct_price2_views": "share of clicks with price_2 = 1",
    "first_page": "page of the first click",
    "last_page": "page of the last click",
    "first_category": "category of the first click",
    "last_category": "category of the last click",
    "first_eq_last_category": "1 if first and last category are equal, else 0",
    "models_per_click": "n_unique_models / session_length",
    "last_order": "order of the last click; its position where clicks carry no order",
    "navigation_depth": "largest page",
    "category_transitions": "clicks whose category differs from the one before",
    "last_product": "product of the last click",
}


class FeatureSet(NamedTuple):
    """Names in order, over which clicks they are computed, and a hash of the definitions."""

    name: str
    scope: str
    features: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits."""
        lines = [f"fold {FOLD_VERSION}", self.name, self.scope]
        lines += [f"{name}: {DEFINITIONS[name]}" for name in self.features]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


REFERENCE = FeatureSet("reference", "all clicks", tuple(n for n in DEFINITIONS if n != "last_product"))
PREFIX = FeatureSet("prefix", "all clicks but the last", tuple(DEFINITIONS))


def feature_sets(definition: ShopDefinition) -> dict[str, str]:
    """Name of each set of a shop -> hash of its definition."""
    if definition == built_in("uci553"):
        return {feature_set.name: feature_set.hash for feature_set in (PREFIX, REFERENCE)}
    lines = (f"fold {FOLD_VERSION}\n{name}\n{definition.hash}" for name in (PREFIX.name, REFERENCE.name))
    hashes = [hashlib.sha256(line.encode()).hexdigest()[:16] for line in lines]
    return dict(zip((PREFIX.name, REFERENCE.name), hashes, strict=True))
