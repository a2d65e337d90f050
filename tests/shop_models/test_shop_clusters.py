"""Names of clusters: what sets each apart, by a rule, no two alike."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clickstream.features.definition import Feature, ShopDefinition
from clickstream.features.shop_file import define
from clickstream.models.shop.clusters import choose_shop_clusters, cluster_names
from clickstream.models.shop.examples import table_of

SHOP = define(
    {
        "name": "s",
        "fields": {"event": "text", "price": {"type": "number", "optional": True}},
        "goal": {"when": 'event == "buy"'},
        "features": {
            "clicks": {"count": True},
            "add_to_carts": {"count": 'event == "cart"'},
            "dearest": {"max": "price"},
            "seconds": {"seconds": "since first"},
        },
    },
    "s",
)
FEATURES: list[Feature] = list(SHOP.features)

_centres = st.lists(
    st.lists(st.floats(-3, 3, allow_nan=False), min_size=4, max_size=4), min_size=1, max_size=6
)


def test_a_name_says_what_is_furthest_from_the_mean() -> None:
    centres = np.array(
        [[0.1, 2.0, 0.0, 0.3], [-1.2, -0.6, 0.0, -0.9], [0.2, 0.0, 1.5, 0.6], [0.1, 0.0, -0.2, 0.3],
         [0.0, 0.0, 0.0, 1.0]]
    )  # fmt: skip
    assert cluster_names(FEATURES, centres) == [
        "many add to carts",
        "few clicks",
        "high dearest",
        "ordinary",
        "long visits",
    ]


def test_two_that_stand_out_by_the_same_feature_are_told_apart_by_the_next() -> None:
    centres = np.array([[2.0, 1.0, 0.0, 0.0], [2.0, -1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]])
    assert cluster_names(FEATURES, centres) == [
        "many clicks, many add to carts",
        "many clicks, few add to carts",
        "few clicks",
    ]


@given(_centres, st.randoms())
def test_names_are_unique_and_belong_to_the_centre_not_to_its_number(
    rows: list[list[float]], random: object
) -> None:
    centres = np.unique(np.array(rows), axis=0)
    names = cluster_names(FEATURES, centres)
    assert len(set(names)) == len(names)
    order = list(range(len(centres)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = cluster_names(FEATURES, centres[order])
    told = dict(zip(map(tuple, centres.tolist()), names, strict=True))
    for centre, name in zip(centres[order].tolist(), again, strict=True):
        if "(" not in name:
            assert told[tuple(centre)] == name


def sessions(definition: ShopDefinition, count: int) -> list[dict[str, float | None]]:
    random = np.random.default_rng(1)
    rows: list[dict[str, float | None]] = []
    for number in range(count):
        many = number % 3 == 0
        rows.append(
            {
                "clicks": float(random.poisson(20 if many else 3)),
                "add_to_carts": float(random.poisson(4 if many else 0.2)),
                "dearest": None if number % 5 == 0 else float(random.normal(50, 5)),
                "seconds": float(random.exponential(60)),
            }
        )
    assert {feature.name for feature in definition.features} == set(rows[0])
    return rows


def test_the_same_clusters_are_found_whatever_the_seed_and_order() -> None:
    rows = sessions(SHOP, 600)
    found = []
    for seed, part in ((1, rows), (2, list(reversed(rows)))):
        choice = choose_shop_clusters(SHOP, table_of(SHOP, part, len(part)), seed)
        assert len(choice.by_k) == 7
        clusters = choice.clusters
        assert all(0 <= number < len(clusters.names) for number in clusters.predict(rows))
        found.append([clusters.names[number] for number in clusters.predict(rows)])
    assert found[0] == found[1]
    assert len(set(found[0])) >= 2


def test_sessions_that_are_all_alike_are_one_cluster() -> None:
    rows = [{"clicks": 1.0, "add_to_carts": 0.0, "dearest": None, "seconds": 0.0}] * 30
    choice = choose_shop_clusters(SHOP, table_of(SHOP, rows, 30), 1)
    assert choice.clusters.names == ("ordinary",)
    assert choice.clusters.predict(rows[:2]) == [0, 0]
