"""Real servers, the real dataset and trained bundles, for the tests that ask for them, made once."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from once import once
from pydantic import SecretStr
from secured_kafka import SecuredKafka
from token_endpoint import TokenEndpoint
from uci_layout import write_dataset

from clickstream.bundles.bundle import Bundle
from clickstream.features.shop_file import built_in
from clickstream.files.dataset import UCI_SHA256, read_dataset
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedKafka, EmbeddedValkey
from clickstream.offline.shop_windows import shop_windows
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.producer.synthetic_shop import SHOP, known_sessions
from clickstream.training.shop import controls
from clickstream.training.shop.training import train_shop
from clickstream.training.training import TrainingSession, train
from clickstream.training.writing import FittedBundle, FittedShop, write, write_shop
from clickstream.windows.rules import Rules

ARCHIVE = "clickstream+data+for+online+shopping.zip"

_SEED = "CLICKSTREAM_DRILL_SEED"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--servers containers`: the same tests, on the images of docker-compose.yml."""
    parser.addoption(
        "--servers",
        choices=("embedded", "containers"),
        default="embedded",
        help="Kafka and Valkey of the integration tests: processes of ours, or containers (needs Docker)",
    )


def pytest_configure() -> None:
    """A fresh seed for the drills, the same in all processes of this run; Ctrl-C for what tests start.

    A background job of a script has SIGINT ignored, and so has whatever it starts. A handler is not passed
    on: these processes still ignore it, those that they start do not.
    """
    os.environ.setdefault(_SEED, str(secrets.randbelow(1_000_000)))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each process of a run what waits for servers first: the end is then made of what is short.

    pytest-xdist hands out equal stretches of this list, and who is done takes from the end of another's.
    """
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if item.get_closest_marker("integration")]
    short = [item for item in items if not item.get_closest_marker("integration")]
    # Files stay whole as far as they can: what they share is made once a process.
    items[:] = [
        item
        for number in range(count)
        for part in (long, short)
        for item in part[len(part) * number // count : len(part) * (number + 1) // count]
    ]


def pytest_report_header() -> str:
    """Printed first, so that a drill that failed can be played again."""
    return f"seed of the drills: {os.environ[_SEED]} (set {_SEED} to repeat them)"


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is killed leaves its temporary files: they go with those of the test run."""
    # Short: a socket may be among them, whose path has a bound.
    folder = str(tmp_path_factory.mktemp("t"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """A command that was run within a test has set up logging onto what that test captured; it ends here."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session", autouse=True)
def _a_control_of_few_trainings() -> Iterator[None]:
    """Half of a training is the control of shuffled futures; what tests ask of it shows with few of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controls, "SHUFFLES", 3)
        yield


@pytest.fixture
def drill_seed() -> int:
    """What a drill takes its chances from; printed at the head of the run."""
    return int(os.environ[_SEED])


@dataclass(frozen=True)
class Addresses:
    """Where the servers of this test session are."""

    bootstrap: str
    redis_url: str


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Addresses]:
    """Those of CLICKSTREAM_KAFKA_BOOTSTRAP and CLICKSTREAM_REDIS_URL; each that is not set is started."""
    given = Settings()
    in_containers = pytestconfig.getoption("--servers") == "containers"
    folder = tmp_path_factory.mktemp("servers")
    bootstrap = given.kafka_bootstrap
    redis_url = given.redis_url.get_secret_value() if given.redis_url else None
    with ExitStack() as started:
        if in_containers:
            # Only where it is asked for: this import takes its time.
            from contained import KafkaContainer, ValkeyContainer

            redis_url = redis_url or started.enter_context(ValkeyContainer()).url
            bootstrap = bootstrap or started.enter_context(KafkaContainer()).bootstrap
        if redis_url is None:
            redis_url = started.enter_context(EmbeddedValkey(folder / "valkey")).url
        if bootstrap is None:
            bootstrap = started.enter_context(EmbeddedKafka(folder / "kafka")).bootstrap
        yield Addresses(bootstrap, redis_url)


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A broker with TLS, passwords, tokens and ACLs; its own, whatever `--servers` says."""
    with (
        TokenEndpoint() as tokens,
        SecuredKafka(tmp_path_factory.mktemp("secured") / "kafka", tokens) as kafka,
    ):
        yield kafka


@pytest.fixture(scope="session")
def settings_in(servers: Addresses) -> Callable[[Path], Settings]:
    """Makes settings of a home: topics (not created) and a group of their own, the session's servers."""

    def made(home: Path) -> Settings:
        unique = uuid4().hex[:12]
        return Settings(
            home=home,
            kafka_bootstrap=servers.bootstrap,
            redis_url=SecretStr(servers.redis_url),
            clicks_topic=f"clicks-{unique}",
            scores_topic=f"scores-{unique}",
            open_scores_topic=f"scores-{unique}.open",
            dead_letter_topic=f"clicks-{unique}.dead-letter",
            group=f"group-{unique}",
        )

    return made


@pytest.fixture
def settings(settings_in: Callable[[Path], Settings], tmp_path: Path) -> Settings:
    """Settings of this test alone."""
    return settings_in(tmp_path / "home")


@pytest.fixture(scope="session")
def synthetic_fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedBundle:
    """What a training on synthetic sessions gives."""

    def trained() -> FittedBundle:
        dataset = synthetic_dataset(1_200, seed=7)
        sessions = [TrainingSession(*visit) for visit in dataset.visits()]
        return train(sessions, data_sha256=dataset.sha256, data_name=dataset.name, split="random")

    return once(tmp_path_factory, "synthetic", trained)


@pytest.fixture(scope="session")
def synthetic_bundle(synthetic_fitted: FittedBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle, trained on synthetic sessions."""
    return write(synthetic_fitted, tmp_path_factory.mktemp("bundles")).path


@pytest.fixture(scope="session")
def known_shop_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle of a shop whose goal is an event, trained on sessions of which the chances are known."""

    def trained() -> FittedShop:
        known = known_sessions(1_000)
        windows = shop_windows(known.sessions, Rules())
        return train_shop(built_in(SHOP), windows, data_sha256=known.sha256, data_name=SHOP)

    fitted = once(tmp_path_factory, "known-shop", trained)
    return write_shop(fitted, tmp_path_factory.mktemp("shop-bundles")).path


def _dataset() -> Path:
    """Where the file of UCI 553 is, or would be: CLICKSTREAM_DATA, or beside the repository."""
    given = os.environ.get("CLICKSTREAM_DATA")
    return Path(given) if given else Path(__file__).parents[2] / "shared" / "data" / ARCHIVE


@pytest.fixture(scope="session")
def dataset_path() -> Path:
    """The file of UCI 553, for what is about its figures; what holds for any shop takes `shop_file`."""
    path = _dataset()
    if not path.is_file():
        pytest.skip(f"is about the figures of the dataset: set CLICKSTREAM_DATA ({path} is not there)")
    return path


@pytest.fixture(scope="session")
def shop_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of UCI 553 where it is here; else as many made-up sessions in its layout, zipped as it is."""
    path = _dataset()
    if path.is_file():
        return path
    folder = tmp_path_factory.mktemp("shop")
    write_dataset(folder / "e-shop-made-up.csv", 24_026)
    with zipfile.ZipFile(folder / "e-shop-made-up.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "e-shop-made-up.csv", "e-shop-made-up.csv")
    return folder / "e-shop-made-up.zip"


@pytest.fixture(scope="session")
def real_sessions(dataset_path: Path) -> list[TrainingSession]:
    return [TrainingSession(*visit) for visit in read_dataset(dataset_path).visits()]


@pytest.fixture(scope="session")
def real_fitted(
    real_sessions: list[TrainingSession], tmp_path_factory: pytest.TempPathFactory
) -> FittedBundle:
    """The one training on the real dataset, which takes most of a minute."""

    def trained() -> FittedBundle:
        return train(real_sessions, data_sha256=UCI_SHA256, data_name="e-shop clothing 2008.csv")

    return once(tmp_path_factory, "real", trained)


@pytest.fixture(scope="session")
def real_bundle(real_fitted: FittedBundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Read by many tests, changed by none."""
    return write(real_fitted, tmp_path_factory.mktemp("real") / "bundles")
