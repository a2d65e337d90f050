"""A bundle of a shop: saved, hashed, verified, loaded, refused where another shop is asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.champion import promote, promote_first
from clickstream.bundles.verification import verify
from clickstream.features.definition import ShopDefinition
from clickstream.features.outcome import Outcome
from clickstream.features.shop_file import built_in, define
from clickstream.infra.errors import BundleError
from clickstream.models.case import Case
from clickstream.models.shop.examples import ShopWindow
from clickstream.producer.synthetic_shop import SHOP
from clickstream.training.shop.online import lesson
from clickstream.training.shop.points import points_of
from clickstream.training.writing import FittedShop, write_shop


@pytest.fixture
def copied(bundles: Path, tmp_path: Path) -> Path:
    """A folder of bundles that a test may change."""
    return Path(shutil.copytree(bundles, tmp_path / "bundles"))


def cases(shop: ShopDefinition, windows: list[ShopWindow], count: int = 50) -> list[tuple[Case, Outcome]]:
    return [lesson(shop, window) for window in windows[:count]]


def test_a_bundle_answers_as_the_models_that_it_was_made_of(
    bundle: Bundle, fitted: FittedShop, shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    points = points_of(shop, windows[:50])
    rows = [points.table.row(place) for place in range(len(points))]
    conversion, revenue = fitted.batch.answer(points.table)
    assert revenue is not None
    together = [answer["batch"] for answer in bundle.predict([Case(row, row) for row in rows])]
    assert [answer.conversion for answer in together] == np.round(conversion, 10).tolist()
    assert [answer.revenue for answer in together] == np.round(revenue, 10).tolist()
    assert {answer.cluster_name for answer in together} <= set(bundle.clusters.names)
    # Whatever stands beside it in a list.
    alone = [bundle.predict([Case(row, row)])[0]["batch"] for row in rows]
    assert alone == together


def test_without_evidence_the_answer_is_the_base_rate(
    bundle: Bundle, shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    case, _ = lesson(shop, windows[0])
    alone = Case(None, case.whole)
    rates = bundle.manifest.base_rates
    for answer in (bundle.predict([alone])[0]["batch"], bundle.online().predict(alone)):
        assert answer.conversion == round(rates.conversion, 10)
        assert answer.revenue == round(rates.revenue or 0.0, 10)


def test_online_models_learn_and_come_back_bit_by_bit(
    bundle: Bundle, shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    models = bundle.online()
    asked = [case for case, _ in cases(shop, windows)]
    before = [models.predict(case) for case in asked]
    for case, outcome in cases(shop, windows):
        models.learn(case, outcome)
    after = [models.predict(case) for case in asked]
    assert after != before
    assert models.lessons == 50
    restored = bundle.online(models.state())
    assert restored.lessons == 50
    assert [restored.predict(case) for case in asked] == after
    assert restored.state() == models.state()
    # The bundle's own start is as it was.
    assert [bundle.online().predict(case) for case in asked] == before


def test_both_scorers_agree_on_clusters_to_begin_with(
    bundle: Bundle, shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    asked = [case for case, _ in cases(shop, windows, 300)]
    online = bundle.online()
    same = [
        online.predict(case).cluster == answer["batch"].cluster
        for case, answer in zip(asked, bundle.predict(asked), strict=True)
    ]
    assert np.mean(same) > 0.9


def test_a_text_never_seen_and_a_number_beyond_all_are_scored(bundle: Bundle, shop: ShopDefinition) -> None:
    strange = {
        feature.name: "never seen" if feature.name in ("last_event", "visitor") else 1e12
        for feature in shop.features
    }
    nothing = dict.fromkeys(strange)
    for case in (Case(strange, strange), Case(nothing, nothing)):
        for answer in (bundle.predict([case])[0]["batch"], bundle.online().predict(case)):
            assert 0 <= answer.conversion <= 1
            assert answer.revenue is not None
            assert np.isfinite(answer.revenue)


def test_another_process_says_the_same(
    bundle: Bundle, bundles: Path, shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    case, _ = lesson(shop, windows[3])
    script = (
        "import sys, json; from pathlib import Path;"
        "from clickstream.features.shop_file import built_in;"
        "from clickstream.bundles.bundle import load_bundle; from clickstream.models.case import Case;"
        "bundle = load_bundle(Path(sys.argv[1]), Path(sys.argv[2]), built_in('synthetic'));"
        "case = Case(*json.loads(sys.argv[3]));"
        "print(json.dumps([bundle.predict([case])[0]['batch'], bundle.online().predict(case)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(bundles), str(bundle.path), json.dumps(case)],
        capture_output=True,
        check=True,
    )
    here = [bundle.predict([case])[0]["batch"], bundle.online().predict(case)]
    assert json.loads(done.stdout) == [list(answer) for answer in here]


def test_a_bundle_carries_its_shop(bundle: Bundle, shop: ShopDefinition) -> None:
    assert bundle.shop == shop
    assert bundle.manifest.shop is not None
    assert (bundle.manifest.shop.name, bundle.manifest.shop.hash) == (SHOP, shop.hash)
    assert bundle.manifest.label_source == "goal"
    assert set(bundle.fitted) == {"batch"}


def test_a_bundle_of_another_shop_is_refused_with_both_names(bundle: Bundle, bundles: Path) -> None:
    for asked in (None, built_in("online-store")):
        name = "uci553" if asked is None else asked.name
        with pytest.raises(BundleError, match=f"is of shop synthetic .* asked for is shop {name}"):
            load_bundle(bundles, bundle.path, asked)


def test_a_bundle_of_the_shop_as_it_was_defined_before_is_refused(bundles: Path, bundle: Bundle) -> None:
    source = json.loads(bundle.shop.source)
    source["features"]["homes"] = {"count": 'event == "home"'}
    changed = define(source, "changed")
    with pytest.raises(BundleError, match=f"{bundle.shop.hash}; asked for is shop synthetic {changed.hash}"):
        load_bundle(bundles, bundle.path, changed)


def test_each_shop_has_its_own_bundle_in_use(copied: Path, shop: ShopDefinition, bundle: Bundle) -> None:
    folder = copied / "shops" / SHOP
    assert promote_first(folder, bundle.id)
    assert load_bundle(copied, shop=shop).id == bundle.id
    with pytest.raises(BundleError, match="no bundle is in use"):
        load_bundle(copied)
    with pytest.raises(BundleError, match="there is no bundle"):
        promote(copied, bundle.id)
    (folder / "champion").unlink()
    with pytest.raises(BundleError) as none:
        load_bundle(copied, shop=shop)
    assert f"clickstream train --shop {SHOP}" in none.value.remedy


@pytest.mark.parametrize("name", ["shop.json", "batch.joblib", "online.pickle", "evaluation.json"])
def test_a_changed_file_is_noticed(copied: Path, shop: ShopDefinition, name: str) -> None:
    (path,) = (copied / "shops" / SHOP).iterdir()
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} of bundle .* SHA-256"):
        load_bundle(copied, path, shop)


def test_what_training_found_can_be_read_back(bundle: Bundle, fitted: FittedShop) -> None:
    assert verify(bundle.path, None).shop_evaluation() == fitted.evaluation


def test_a_goal_without_a_value_says_nothing_of_revenue(
    shop: ShopDefinition, windows: list[ShopWindow], fitted: FittedShop, tmp_path: Path
) -> None:
    source = json.loads(shop.source)
    del source["goal"]["value"]
    free = define(source, "free")
    batch = type(fitted.batch)({**fitted.batch.artefact, "spending": None}, free, fitted.inputs)
    rates = fitted.contents.base_rates.model_copy(update={"revenue": None})
    entry = fitted.contents.shop
    assert entry is not None
    contents = fitted.contents.model_copy(
        update={"base_rates": rates, "shop": entry.model_copy(update={"hash": free.hash})}
    )
    inputs = fitted.inputs.model_copy(update={"spending": None})
    made = write_shop(fitted._replace(shop=free, batch=batch, inputs=inputs, contents=contents), tmp_path)
    case, outcome = lesson(free, windows[0])
    online = made.online()
    for asked in (case, Case(None, case.whole)):
        assert made.predict([asked])[0]["batch"].revenue is None
        assert online.predict(asked).revenue is None
        online.learn(asked, outcome)
