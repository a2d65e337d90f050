"""What belongs to one shop is refused by another, with both names."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.consumer.assembly import open_engine
from clickstream.consumer.refusals import OpenUnder, SettingsChangedError, check_rules
from clickstream.consumer.scoring import case_of
from clickstream.consumer.state_format import decode, encode
from clickstream.features.session import SessionStep
from clickstream.features.shop import UCI553, Shop, shop_of
from clickstream.features.shop_file import built_in
from clickstream.infra.errors import BundleError, ConfigurationError, RefusedError
from clickstream.infra.kafka import Topic
from clickstream.infra.settings import Settings, load_settings
from clickstream.offline.scoring import score_file
from clickstream.records.shop_click import parser_of
from clickstream.records.shops import load_shop
from clickstream.windows.fingerprint import fingerprint, rules_of, rules_text
from clickstream.windows.open_session import OpenSession

STORE = shop_of(built_in("online-store"))


def step_of(shop: Shop, event: str) -> SessionStep:
    """Of a click that says no more than what happened."""
    fields = {"session_id": "ann", "event_time": 1_000, "order": 1, "event": event}
    made: SessionStep = shop.step_of(parser_of(shop.definition).click_of(fields))
    return made


@pytest.fixture(scope="module")
def bundle(synthetic_bundle: Path) -> Bundle:
    return load_bundle(synthetic_bundle.parent, synthetic_bundle.name)


def test_the_shop_is_a_setting_and_a_rule_of_the_group() -> None:
    here, there = Settings(), load_settings(shop="online-store")
    assert (rules_of(here).shop, rules_of(there).shop) == (UCI553, STORE)
    assert fingerprint(here) != fingerprint(there)
    assert f"shop=uci553/{UCI553.definition.hash}" in rules_text(here)


def test_a_change_of_the_definition_is_another_shop(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "src/clickstream/features/shops/online-store.toml").read_text()
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text(text + "# a comment\n")
    other.write_text(text.replace("homes = { count = 'event == \"home\"' }\n", ""))
    assert load_shop(str(one)) is STORE
    assert fingerprint(Settings(shop=str(one))) != fingerprint(Settings(shop=str(other)))


def test_open_sessions_of_another_shop_are_refused_with_both_names() -> None:
    theirs, mine = rules_text(Settings()), rules_text(Settings(shop="online-store"))
    topic = Topic("clicks", "id", 8)
    check_rules(0, OpenUnder(0, theirs, 8), mine, topic)
    with pytest.raises(SettingsChangedError, match=r"shop was uci553/\w+ and is online-store/\w+") as caught:
        check_rules(0, OpenUnder(3, theirs, 8), mine, topic)
    assert "clickstream drain" in caught.value.remedy


def test_stored_bytes_of_another_shop_are_never_misread() -> None:
    """The rules tell before they are read; this is what would happen if they did not."""
    step = step_of(STORE, "home")
    state = encode(OpenSession(STORE.open(step, 0, "ann"), []))
    assert decode(state, STORE) == OpenSession(STORE.open(step, 0, "ann"), [])
    with pytest.raises(RefusedError):
        decode(state, UCI553)


def test_a_bundle_of_another_shop_is_refused_with_both_names(bundle: Bundle) -> None:
    assert bundle.shop == UCI553.definition
    settings = Settings(shop="online-store", bundle=str(bundle.path))
    with pytest.raises(BundleError, match=r"is of shop uci553 \w+; asked for is shop online-store \w+"):
        load_bundle(settings)


def test_an_engine_is_not_opened_with_a_bundle_of_another_shop(bundle: Bundle) -> None:
    """Before any server is asked: nothing is created there for a consumer that cannot score."""
    settings = Settings(shop="online-store", kafka_bootstrap="localhost:1")
    with pytest.raises(BundleError, match=r"is of shop uci553 \w+; asked for is shop online-store \w+"):
        open_engine(settings, bundle)


def test_no_file_is_scored_with_a_bundle_of_another_shop(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"is of shop uci553 \w+; asked for is shop online-store \w+"):
        score_file(b"", bundle=bundle, settings=Settings(shop="online-store"))


def test_a_shop_that_cannot_be_used_stops_before_anything_is_read(tmp_path: Path) -> None:
    broken = tmp_path / "shop.toml"
    broken.write_text('name = "mine"\n')
    with pytest.raises(ConfigurationError, match=r"shop\.toml: \[fields\] is empty or missing"):
        rules_of(Settings(shop=str(broken)))
    with pytest.raises(ConfigurationError, match="there is no shop 'uci554'") as caught:
        rules_of(Settings(shop="uci554"))
    assert "uci553" in caught.value.remedy


def test_models_see_the_features_that_scores_do_not_show(tmp_path: Path) -> None:
    """Clusters may look at any number of a shop, shown or not."""
    text = (Path(__file__).parents[2] / "src/clickstream/features/shops/online-store.toml").read_text()
    carts = "add_to_carts = { count = 'event == \"add_to_cart\"'"
    assert carts in text
    file = tmp_path / "quiet.toml"
    file.write_text(text.replace(carts, f"{carts}, in_scores = false"))
    shop = load_shop(str(file))
    session = shop.open(step_of(shop, "add_to_cart"))
    case = case_of(shop, session)
    assert case.whole["add_to_carts"] == 1
    assert "add_to_carts" not in shop.shown(case.whole)
    assert shop.shown(case.whole) == shop.features(session)
