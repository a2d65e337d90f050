"""Bundles of many machines: homes that share a store, which is a real server that speaks S3."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from object_store import BUCKET, ObjectStore
from pydantic import SecretStr
from shop import wait_for
from structlog.testing import capture_logs

from clickstream.bundles import champion
from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.folder import examine_bundles, history
from clickstream.bundles.following import StoreFollower
from clickstream.bundles.promotion_record import Author, recorded
from clickstream.bundles.signature import signature
from clickstream.bundles.store import BundleStore, store_of
from clickstream.consumer.promotion import Promotions
from clickstream.infra.errors import BundleError, ConfigurationError, UnavailableError
from clickstream.infra.settings import Settings
from clickstream.local.child import HOST, free_port
from clickstream.operate.candidate import PromotionPolicy, decide
from clickstream.training.writing import FittedBundle, write

KEY = "k" * 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    store = ObjectStore(tmp_path_factory.mktemp("objects") / "server.log")
    yield store
    store.stop()


@pytest.fixture(scope="module")
def two_bundles(
    synthetic_fitted: FittedBundle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Two bundles of one training: they differ in their time, and so in their id."""
    folder = tmp_path_factory.mktemp("two")
    first, second = (write(synthetic_fitted, folder).path for _ in range(2))
    assert first.name != second.name
    return first, second


@pytest.fixture
def machine(server: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Makes the settings of a machine with a home of its own; all of a test share a store of their own."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{BUCKET}/{uuid4().hex}"

    def made(name: str, key: str | None = None) -> Settings:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        return Settings(
            home=home, bundle_store=url, bundle_key=None if key is None else SecretStr(key), patience=2_000
        )

    return made


def put_in_use(settings: Settings, bundle: Path, author: Author | None = None) -> None:
    """As `clickstream models promote` does, of a bundle that this machine has."""
    if not (settings.bundles / bundle.name).exists():
        shutil.copytree(bundle, settings.bundles / bundle.name)
    champion.promote(settings.bundles, bundle.name, author=author, store=store(settings))


def store(settings: Settings) -> BundleStore:
    found = store_of(settings)
    assert found is not None
    return found


def key_of(settings: Settings, name: str) -> str:
    assert settings.bundle_store is not None
    return f"{settings.bundle_store.removeprefix(f's3://{BUCKET}/')}/{name}"


def promotions_of(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Promotions:
    """Those of a consumer that asks the store twenty times a second; between two looks a second passes."""
    monkeypatch.setattr(StoreFollower.__init__, "__defaults__", (0.05,))
    clock = iter(range(1_000_000))
    return Promotions(settings, lambda: next(clock))


def test_what_one_machine_trained_and_promoted_is_in_use_on_another(
    machine: Callable[..., Settings], synthetic_fitted: FittedBundle
) -> None:
    one, other = machine("one"), machine("other")
    bundle = write(synthetic_fitted, one)
    assert decide(one, bundle, PromotionPolicy.first, lambda *_: pytest.fail("nothing to compare")).promoted
    assert load_bundle(other).id == bundle.id
    copy = other.bundles / bundle.id
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == {
        file.name: file.read_bytes() for file in bundle.path.iterdir()
    }
    (listed,) = examine_bundles(other)
    assert (listed.id, listed.in_use, listed.problem) == (bundle.id, True, None)


def test_it_is_fetched_once(
    machine: Callable[..., Settings], server: ObjectStore, two_bundles: tuple[Path, Path]
) -> None:
    one, other = machine("one"), machine("other")
    put_in_use(one, two_bundles[0])
    name = two_bundles[0].name
    load_bundle(other, name)
    server.client.delete_object(Bucket=BUCKET, Key=key_of(one, f"{name}/batch.joblib"))
    assert load_bundle(other, name).id == name
    with pytest.raises(BundleError, match=r"batch\.joblib of bundle s3://.* is missing"):
        load_bundle(machine("third"), name)


@pytest.mark.parametrize("name", ["batch.joblib", "model_card.md", "manifest.json", "evaluation.json"])
def test_an_object_that_was_changed_is_refused_and_nothing_of_it_is_kept(
    machine: Callable[..., Settings], server: ObjectStore, two_bundles: tuple[Path, Path], name: str
) -> None:
    one, other = machine("one"), machine("other")
    put_in_use(one, two_bundles[0])
    content = bytearray((two_bundles[0] / name).read_bytes())
    content[-20] ^= 1
    server.client.put_object(
        Bucket=BUCKET, Key=key_of(one, f"{two_bundles[0].name}/{name}"), Body=bytes(content)
    )
    with pytest.raises(BundleError, match=rf"s3://.*{two_bundles[0].name}") as refused:
        load_bundle(other)
    assert "SHA-256" in refused.value.what or "manifest" in refused.value.what or "seal" in refused.value.what
    assert not other.bundles.exists() or list(other.bundles.iterdir()) == []
    (listed,) = examine_bundles(other)
    assert listed.problem is not None


def test_one_that_is_longer_than_its_manifest_says_is_not_read(
    machine: Callable[..., Settings], server: ObjectStore, two_bundles: tuple[Path, Path]
) -> None:
    one = machine("one")
    put_in_use(one, two_bundles[0])
    server.client.put_object(
        Bucket=BUCKET,
        Key=key_of(one, f"{two_bundles[0].name}/batch.joblib"),
        Body=(two_bundles[0] / "batch.joblib").read_bytes() + b"x",
    )
    with pytest.raises(BundleError, match="bytes; at most"):
        load_bundle(machine("other"))


def test_with_a_key_only_what_is_signed_with_it_is_fetched(
    machine: Callable[..., Settings], server: ObjectStore, two_bundles: tuple[Path, Path]
) -> None:
    one, other = machine("one"), machine("other", key=KEY)
    put_in_use(one, two_bundles[0])
    with pytest.raises(BundleError, match="is not signed, and a key for bundles is set"):
        load_bundle(other)
    assert not other.bundles.exists()
    text = (two_bundles[0] / "manifest.json").read_bytes()
    at = key_of(one, f"{two_bundles[0].name}/manifest.sig")
    server.client.put_object(Bucket=BUCKET, Key=at, Body=signature(text, b"q" * 40))
    with pytest.raises(BundleError, match="signed with another key"):
        load_bundle(other)
    server.client.put_object(Bucket=BUCKET, Key=at, Body=signature(text, KEY.encode()))
    assert load_bundle(other).id == two_bundles[0].name


def test_a_copy_that_was_fetched_before_it_was_signed_takes_the_signature_over(
    machine: Callable[..., Settings], server: ObjectStore, two_bundles: tuple[Path, Path]
) -> None:
    one, other = machine("one"), machine("other")
    put_in_use(one, two_bundles[0])
    load_bundle(other)
    text = (two_bundles[0] / "manifest.json").read_bytes()
    at = key_of(one, f"{two_bundles[0].name}/manifest.sig")
    server.client.put_object(Bucket=BUCKET, Key=at, Body=signature(text, KEY.encode()))
    assert load_bundle(machine("other", key=KEY)).id == two_bundles[0].name


def test_a_promotion_that_was_decided_by_what_is_no_longer_in_use_is_refused(
    machine: Callable[..., Settings], two_bundles: tuple[Path, Path]
) -> None:
    first, second = two_bundles
    one, other = machine("one"), machine("other")
    put_in_use(one, first)
    slow = store(one)
    slow.bring_history()
    put_in_use(other, second)
    with pytest.raises(BundleError, match="at the same time"):
        slow.put_in_use(f"{first.name}\n".encode())
    assert [promotion.bundle_id for promotion in history(one)] == [second.name, first.name]


def test_of_machines_that_promote_at_once_none_takes_anothers_line_away(
    machine: Callable[..., Settings], two_bundles: tuple[Path, Path]
) -> None:
    homes = [machine(name) for name in ("one", "other")]
    for settings, bundle in zip(homes, two_bundles, strict=True):
        put_in_use(settings, bundle)
    done: list[str] = []

    def promote_often(settings: Settings, bundle: Path, name: str) -> None:
        for turn in range(5):
            before = history(settings)
            try:
                put_in_use(settings, bundle, Author(f"{name} {turn}", "command"))
            except BundleError:
                # The other one was faster.
                continue
            if before[0].bundle_id != bundle.name:
                done.append(f"{name} {turn}")

    threads = [
        threading.Thread(target=promote_often, args=(settings, bundle, name))
        for settings, bundle, name in zip(homes, two_bundles, ("one", "other"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = history(homes[0])
    steps = recorded(homes[0].bundles)
    assert len(found) == len(steps)
    assert all(a.bundle_id != b.bundle_id for a, b in pairwise(found))
    assert set(done) <= {step.author.name for step in steps}


def test_a_home_that_is_older_than_its_store_takes_its_bundle_and_its_history_there(
    machine: Callable[..., Settings], two_bundles: tuple[Path, Path]
) -> None:
    first, second = two_bundles
    one, other = machine("one"), machine("other")
    for bundle in two_bundles:
        shutil.copytree(bundle, one.bundles / bundle.name)
        champion.promote(one.bundles, bundle.name)
    with pytest.raises(BundleError, match=r"no bundle is in use in s3://"):
        load_bundle(other)
    champion.promote(one.bundles, second.name, store=store(one))
    assert load_bundle(other).id == second.name
    assert [promotion.bundle_id for promotion in history(other)] == [second.name, first.name]


def test_a_running_consumer_takes_a_promotion_of_another_machine(
    machine: Callable[..., Settings], two_bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two_bundles
    one, other = machine("one"), machine("other")
    put_in_use(one, first)
    in_use = load_bundle(other)
    promotions = promotions_of(other, monkeypatch)
    assert promotions.newer_than(in_use) is None
    put_in_use(one, second)
    found = None

    def taken() -> bool:
        nonlocal found
        found = promotions.newer_than(in_use)
        return found is not None

    wait_for(taken, "it is taken", 30)
    assert found is not None
    assert found.id == second.name
    assert found.path == other.bundles / second.name


def test_while_the_store_is_away_the_bundle_stays_and_it_is_said_once(
    machine: Callable[..., Settings],
    server: ObjectStore,
    two_bundles: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = two_bundles
    one, other = machine("one"), machine("other")
    put_in_use(one, first)
    in_use = load_bundle(other)
    promotions = promotions_of(other.model_copy(update={"patience": 200}), monkeypatch)
    with capture_logs() as lines:
        with server.frozen():
            wait_for(lambda: promotions.newer_than(in_use) is None and bool(lines), "it is said", 30)
            assert promotions.newer_than(in_use) is None
            assert [line["event"] for line in lines] == ["bundle store not followed"]
            assert lines[0]["stays"] == first.name
        wait_for(lambda: promotions.newer_than(in_use) is None and len(lines) == 2, "it is back", 30)
    assert lines[1]["event"] == "bundle store is followed again"
    put_in_use(one, second)
    wait_for(lambda: promotions.newer_than(in_use) is not None, "it is taken", 30)


def test_without_the_store_nothing_starts_and_the_message_says_why(
    machine: Callable[..., Settings],
) -> None:
    settings = machine("one")
    ended = subprocess.run(
        [sys.executable, "-m", "clickstream", "consume"],
        env=os.environ
        | {
            "CLICKSTREAM_HOME": str(settings.home),
            "CLICKSTREAM_BUNDLE_STORE": str(settings.bundle_store),
            "CLICKSTREAM_KAFKA_BOOTSTRAP": f"{HOST}:{free_port()}",
            "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{free_port()}",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == UnavailableError.exit_code
    assert f"cannot read champion in {settings.bundle_store}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bucket_that_is_not_there_is_a_setting_that_cannot_work(machine: Callable[..., Settings]) -> None:
    settings = machine("one").model_copy(update={"bundle_store": f"s3://other-{uuid4().hex}"})
    with pytest.raises(ConfigurationError, match="NoSuchBucket"):
        load_bundle(settings)
