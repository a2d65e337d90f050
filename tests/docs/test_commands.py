"""Every command and program that README and docs show is run, or stands in a table here with the reason.

A new block needs nothing: it is run in a fresh folder with a home, two bundles, a small dataset in data/ and
topics of its own, and must end with 0. Where that is not right, add it to one of these tables:

- `SERVICES`: it goes on until it is stopped; say what it prints when it is up.
- `ENDS_WITH`: it ends with another code, and that is what the page says.
- `NOT_RUN`: it cannot be run here; say why. A line that fits nothing on the pages any more is an error.
- `PLACEHOLDERS`: what stands on a page for what is another thing here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from blocks import ROOT, Block, blocks, named_in_lines, words
from scored_log import ScoredLog
from shop import wait_for
from uci_layout import write_dataset

from clickstream.bundles.champion import promote
from clickstream.consumer.topics import prepare_topics
from clickstream.documents.command_tree import commands
from clickstream.infra.kafka import Producer
from clickstream.infra.settings import Settings, as_environment
from clickstream.training.writing import FittedBundle, write


class Service(NamedTuple):
    """What we stop: up when its output has `sign`, `fed` with scores until then; ends with `code`."""

    pattern: str
    sign: str
    code: int = 0
    fed: bool = False


SERVICES = (
    Service(r"^clickstream consume\b", '"consuming"'),
    Service(r"^clickstream replay --speed 60$", "records sent", code=130),
    Service(r"^clickstream replay --data clicks.csv ", "records sent", code=130),
    Service(r"^clickstream scores audit --follow$", "scored"),
    Service(r"^clickstream scores audit --follow --json ", '"clean"'),
    Service(r"^clickstream top\b", '"group"'),
    Service(r"^clickstream dashboard\b", "Dashboard  http"),
    Service(r"^clickstream serve\b", "Open sessions  http"),
    Service(r"^clickstream models watch$", '"sessions"', fed=True),
    Service(r"^clickstream scores tail (?!.*(--until-end|--max|\|))", "alice", fed=True),
    Service(r"^for record in scores:", "alice", code=-signal.SIGINT, fed=True),
)

ENDS_WITH = {
    # The example is one day, which cannot be divided by time; the page says that it takes more.
    r"^clickstream train --data clicks.csv ": 65,
}

NOT_RUN = {
    r"^make demo$": "a minute of both cores; tests/integration runs what it is made of",
    r"^make demo ARGS=": "the same of another shop",
    r"^clickstream chaos failpoints ": "minutes; tests/chaos/test_shop_drill.py plays a short one",
    r"^make test$": "this is it",
    r"^clickstream train .*--promote if-better": "a second training; test_shop_comparison.py has it",
    r"^clickstream dashboard --open$": "opens a browser; test_dashboard_browser.py has one of its own",
    r"^docker ": "needs a Docker engine; tests/containers runs docker-compose.yml",
    r"^clickstream chaos all$": "half an hour; tests/chaos plays each fault",
    r"^clickstream scores audit --ledger ": "needs runs with and without faults; test_consume.py has both",
    r"^source .venv/bin/activate": "the commands of the tests are in their environment already",
    r"^clickstream train$": "README's line does the same with a file that is named",
    r"^python docs/images/make.py$": "draws the plots of the real dataset anew, in place",
    r"^jupyter execute ": "writes the notebooks anew; test_notebooks.py runs them",
}

# Run as files, by test_subscribing.py, which holds the page to them.
SHOWN_FILES = {path.read_text() for path in (ROOT / "examples" / "subscribe").iterdir() if path.is_file()}

# Shown, not run.
DATA = {"json", "sql", "text", "toml", "yaml", "csv", "nginx"}

BUNDLE_ID = re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{8}\b")


def placeholders(settings: Settings) -> dict[str, str]:
    """What stands on a page -> what it is here."""
    bootstrap = settings.kafka_bootstrap or ""
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    return {
        "127.0.0.1:19092": bootstrap,
        "broker:9092": bootstrap,
        "redis://:password@redis:6379/0": redis_url,
        '"clicks"': f'"{settings.clicks_topic}"',
        '"scores"': f'"{settings.scores_topic}"',
    }


# --- what is on the pages ---

BLOCKS = blocks()
SHELL = [block for block in BLOCKS if block.commands and block.text not in SHOWN_FILES]
PYTHON = [block for block in BLOCKS if block.language == "python" and block.text not in SHOWN_FILES]


def bare(command: str) -> str:
    """On one line, without a comment behind it."""
    return re.sub(r"\s+#\s.*$", "", command.replace("\\\n", " "))


def reason_not_to_run(command: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, command)), None)


def test_every_block_is_run_or_is_known_to_be_something_else() -> None:
    for block in BLOCKS:
        known = block.text in SHOWN_FILES or block.language in {"sh", "python", "", *DATA}
        assert known, f"{block.place}: what is a block of {block.language!r}? Add it to this test."


def test_every_reason_not_to_run_is_about_something_on_a_page() -> None:
    shown = [bare(command) for block in SHELL for command in block.commands]
    for pattern in [*NOT_RUN, *ENDS_WITH]:
        assert any(re.search(pattern, command) for command in shown), f"nothing fits {pattern}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "json"], ids=lambda b: b.place)
def test_json_on_a_page_is_json(block: Block) -> None:
    assert json.loads(block.text)


def test_every_command_on_a_page_is_one_of_ours_with_these_options() -> None:
    known = {command.name: command for command in commands(hidden=True)}
    shown = [(b.place, bare(c)) for b in SHELL for c in b.commands if c.startswith("clickstream ")]
    for place, command in [*shown, *named_in_lines()]:
        if "…" in command or "COMMAND" in command:
            continue
        _, *rest = words(command)
        names = [" ".join(rest[:count]) for count in (2, 1)]
        if rest[0] in ("scores", "models") and len(rest) == 1:
            continue
        found = next((known[name] for name in names if name in known), None)
        assert found is not None, f"{place}: there is no command `{command}`"
        spellings = {spelling for option in found.options for spelling in option.spellings} | {"--help"}
        for word in rest:
            if word.startswith("--"):
                assert word.partition("=")[0] in spellings, f"{place}: {found.name} has no option {word}"


# --- where they are run ---


@pytest.fixture(scope="session")
def desk(synthetic_fitted: FittedBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each block finds: a home with two bundles, the later in use, a dataset in data/, the examples."""
    folder = tmp_path_factory.mktemp("desk")
    bundles = folder / "home" / "bundles"
    for _ in range(2):
        promote(bundles, write(synthetic_fitted, bundles).id)
    assert len(list(bundles.glob("*/manifest.json"))) == 2
    (folder / "data").mkdir()
    write_dataset(folder / "data" / "e-shop.csv", 1_200)
    shutil.make_archive(str(folder / "data" / "UCI"), "zip", folder / "data", "e-shop.csv")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("node_modules"))
    # Somebody's own log, and what says which of its columns is which.
    shutil.copytree(ROOT / "examples" / "own-clicks", folder, dirs_exist_ok=True)
    return folder


def score() -> bytes:
    """One that passes the filters on the pages."""
    log = ScoredLog()
    for order in range(1, 7):
        log.click("alice", order, order, category="sale", price_2=2, page=1)
    log.heartbeat(60)
    log.publish()
    (found,) = log.contents(log.scores)
    for prediction in found["predictions"].values():
        prediction |= {"conversion": 0.9, "revenue": 60.0, "cluster_name": "long"}
    return orjson.dumps(found)


SCORE = score()


@dataclass
class Desk:
    """One block's place to run: a folder, settings, and what its commands have exported."""

    folder: Path
    settings: Settings
    path: str
    services: list[tuple[Service, subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def run(self, command: str, code: int = 0) -> None:
        """A command that ends by itself, in a shell that has what those before it exported."""
        done = subprocess.run(
            ["bash", "-c", self._script(f"{command}\ncode=$?; export -p > {self._exported}; exit $code")],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=240,
            check=False,
        )
        told = (done.stdout + done.stderr).decode(errors="replace")[-3_000:]
        assert done.returncode == code, f"`{command}` ended with {done.returncode}\n{told}"

    def start(self, command: str, service: Service) -> None:
        """A command that goes on, once its output shows that it is up."""
        log = self.folder / f"service-{len(self.services)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", self._script(f"exec {command}")],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.services.append((service, process, log))

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"`{command}` ended with {process.returncode}\n{log.read_text()}")
            if service.fed:
                self.feed()
            return service.sign in log.read_text()

        try:
            wait_for(up, f"`{command}` is up", 120)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{log.read_text()[-3_000:]}") from None

    def feed(self) -> None:
        """One more score on the topic."""
        producer = Producer(self.settings)
        producer.send(self.settings.scores_topic, None, b"alice", SCORE)
        producer.flush()
        producer.close()

    def stop(self) -> None:
        """Every service as Ctrl-C does; each must end as it should."""
        wrong = []
        for service, process, log in reversed(self.services):
            process.send_signal(signal.SIGINT)
            if process.wait(60) != service.code:
                wrong.append(f"{service.pattern} ended with {process.returncode}\n{log.read_text()[-3_000:]}")
        assert not wrong, "\n".join(wrong)

    def kill(self) -> None:
        for _, process, _ in self.services:
            process.kill()
            process.wait()

    @property
    def _exported(self) -> Path:
        return self.folder / "exported.sh"

    def _script(self, command: str) -> str:
        return f"if [ -e {self._exported} ]; then . {self._exported}; fi\n{command}"

    @property
    def _environment(self) -> dict[str, str]:
        others = {n: v for n, v in os.environ.items() if not n.startswith(("CLICKSTREAM_", "PYTHON"))}
        return (
            others
            | as_environment(self.settings)
            | {
                "PATH": self.path,
                "HOME": str(self.folder),
                "PYTHONUNBUFFERED": "1",
            }
        )


@pytest.fixture
def place(desk: Path, settings: Settings, kafka_console: Path, tmp_path: Path) -> Iterator[Desk]:
    folder = tmp_path / "desk"
    shutil.copytree(desk, folder)
    settings = settings.model_copy(update={"home": folder / "home", "partitions": 2})
    prepare_topics(settings)
    path = ":".join((str(Path(sys.executable).parent), str(kafka_console), os.environ["PATH"]))
    found = Desk(folder, settings, path)
    yield found
    found.kill()


def here(text: str, place: Desk) -> str:
    """A text of a page with its placeholders filled in; bundle ids are those of the home, in their order."""
    for old, new in placeholders(place.settings).items():
        text = text.replace(old, new)
    ids = sorted(path.name for path in place.settings.bundles.iterdir() if path.is_dir())
    shown = sorted(set(BUNDLE_ID.findall(text)))
    for old, new in zip(shown, ids, strict=False):
        text = text.replace(old, new)
    return text


def makes_scores(block: Block) -> bool:
    """Whether scores come from what it runs, or are held against clicks: none of ours may lie there."""
    theirs = r"clickstream (consume|replay|drain|scores audit)"
    return any(re.match(theirs, command) for command in block.commands)


# --- they are run ---


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_the_commands_of_a_block_do_what_they_should(block: Block, place: Desk) -> None:
    if not makes_scores(block):
        place.feed()
    for command in block.commands:
        known_as = bare(command)
        if reason_not_to_run(known_as):
            continue
        service = next((one for one in SERVICES if re.search(one.pattern, known_as)), None)
        code = next((code for pattern, code in ENDS_WITH.items() if re.search(pattern, known_as)), 0)
        if service:
            fed = service.fed and not makes_scores(block)
            place.start(here(command, place), service._replace(fed=fed))
        else:
            place.run(here(command, place), code)
    place.stop()


@pytest.mark.integration
@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_a_program_on_a_page_runs(block: Block, place: Desk) -> None:
    program = place.folder / "program.py"
    program.write_text(here(block.text, place))
    place.feed()
    service = next((one for one in SERVICES if re.search(one.pattern, block.text, re.M)), None)
    if service:
        place.start("python program.py", service)
        place.stop()
    else:
        place.run("python program.py")
