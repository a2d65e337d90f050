"""The dashboard in a browser: upload, filter, download, the live page during a replay, light and dark."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Page, chromium
from dashboard_pages import first_sessions
from selenium.webdriver.common.keys import Keys
from shop import Shop, plan_of, wait_for

from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.champion import promote
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.processes import Process
from clickstream.lookup.service import Lookup
from clickstream.offline.scoring import score_file
from clickstream.offline.writing import FileFormat, as_bytes

pytestmark = pytest.mark.integration

PAGES = (
    ("/", "Score a file"),
    ("/live", "Live"),
    ("/models", "Models"),
    ("/shop", "Shop"),
    ("/data", "Data"),
)
WIDTHS = (1280, 800)

# Notes what the server opens for writing, also a temporary file without a name.
LISTENER = """
import os, sys
_notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def _note(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        if arguments[0] not in (os.devnull, os.environ["NOTES"]) and not str(arguments[0]).endswith(".pyc"):
            os.write(_notes, f"{arguments[0]}\\n".encode())
sys.addaudithook(_note)
open(os.environ["NOTES"] + ".seen", "w").close()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboard")


@pytest.fixture(scope="module")
def settings(settings_in: Callable[[Path], Settings], synthetic_bundle: Path, folder: Path) -> Settings:
    made = settings_in(folder / "home")
    shutil.copytree(synthetic_bundle, made.bundles / synthetic_bundle.name)
    promote(made.bundles, synthetic_bundle.name)
    return made


@pytest.fixture(scope="module")
def dashboard(settings: Settings, folder: Path) -> Iterator[str]:
    """Its address. It ends with 0 when it is asked to."""
    port = free_port()
    (folder / "sitecustomize.py").write_text(LISTENER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("NOTES", str(folder / "notes"))
        process = Process(["dashboard", "--port", str(port)], settings, folder / "dashboard.log")
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, process.last_words()
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_for(answers, "the dashboard answers")
    yield address
    assert process.stop() == 0, process.last_words()
    assert "Traceback" not in process.log.read_text()


@pytest.fixture(scope="module")
def page(dashboard: str, folder: Path) -> Iterator[Page]:
    browser = chromium(folder)
    yield Page(browser, dashboard)
    browser.quit()


@pytest.fixture(scope="module")
def few_sessions(shop_file: Path, folder: Path) -> Path:
    file = folder / "few.csv"
    file.write_bytes(first_sessions(shop_file, 300))
    return file


def test_a_file_is_uploaded_filtered_and_downloaded(
    page: Page, few_sessions: Path, settings: Settings, folder: Path
) -> None:
    expected = score_file(few_sessions, bundle=load_bundle(settings), settings=settings)
    page.open("/", "Score a file")
    page.upload(few_sessions)
    page.wait(lambda: "One session" in page.headings(), "the file is scored")
    page.settle()
    mean = expected.summary.mean_conversion("online")
    assert page.metrics()["Average conversion probability · online"] == f"{mean:.1%}"
    assert page.overflow() <= 0
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        page.picture(folder / f"score-{scheme}.png")

    formats: dict[FileFormat, str] = {"csv": "CSV", "jsonl": "JSON lines", "parquet": "Parquet"}
    for ending, label in formats.items():
        page.click(label)
        file = folder / f"sessions.{ending}"
        page.wait(file.exists, f"{file.name} is downloaded")
        assert file.read_bytes() == as_bytes(expected.sessions, ending), ending

    field = page.find("input[aria-label='Session id contains']")[0]
    field.send_keys("17", Keys.ENTER)
    passing = sum("17" in session_id for session_id in expected.sessions.columns["session_id"])
    page.wait(lambda: f"{passing} of 300 sessions" in page.text(), "the table is filtered")
    page.wait(lambda: "\n17 · 2008-04-01" in page.text(), "the first session that passes is told")
    assert page.complaints() == []


def test_what_is_uploaded_is_text_and_never_on_disk(page: Page, folder: Path) -> None:
    html = "<img src=x onerror=window.hacked=1>"
    bad = folder / "bad.csv"
    bad.write_text(
        "year;month;day;order;country;session ID;page 1 (main category);page 2 (clothing model);colour;"
        "location;model photography;price;price 2;page\n"
        f"2008;4;1;1;29;{html};1;{html};1;5;1;28;2;1\n"
        f"2008;4;1;2;29;{html};1;**A**;1;5;1;{html};2;1\n"
    )
    large = folder / "large.csv"
    large.write_bytes(bytes(range(256)) * 12_000)
    notes = folder / "notes"

    page.open("/", "Score a file")
    before = notes.read_text()
    assert f"{notes}.seen" in before
    page.upload(bad)
    page.wait(lambda: html in page.text(), "the session is told")
    assert page.script("return [!!window.hacked, document.querySelectorAll('img[src=x]').length]") == [
        False,
        0,
    ]
    page.open("/", "Score a file")
    page.upload(large)
    page.wait(lambda: "large.csv is binary" in page.text(), "the file is refused")
    assert notes.read_text() == before
    page.open("/", "Score a file")
    with large.open("wb") as file:
        file.truncate(200 * 2**20)
    page.upload(large)
    page.wait(lambda: "must be 128.0MB or smaller" in page.text(), "the browser does not send it")


def test_pages_are_reached_by_keyboard_and_fit_in_light_and_dark(page: Page, folder: Path) -> None:
    page.open("/", "Score a file")
    for _ in range(8):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        if page.browser.switch_to.active_element.text.endswith("Models"):
            break
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait(lambda: "Models" in page.headings(), "Enter opens the page")
    for path, heading in PAGES:
        page.open(path, heading)
        pictures(page, folder, heading.lower().replace(" ", "-"))
        assert not page.find("[data-testid=stException]"), path


def pictures(page: Page, folder: Path, name: str) -> None:
    """Of what is shown now in each width, light and dark; nothing may be wider than the window."""
    for width in WIDTHS:
        page.resize(width)
        for scheme in ("light", "dark"):
            page.scheme(scheme)
            page.picture(folder / f"{name}-{width}-{scheme}.png")
            # What was drawn for another width is laid out again in a moment.
            page.wait(lambda: page.overflow() <= 0, f"{name} fits into {width} pixels, {scheme}")
    page.resize(WIDTHS[0])


def test_the_live_page_follows_a_replay_without_a_reload(
    page: Page, settings: Settings, folder: Path
) -> None:
    shop = Shop(settings, folder / "logs")
    try:
        consumer = shop.consumer()
        # It counts what arrives from here on: it must follow before the first score is written.
        page.open("/live", "Live")
        page.wait(lambda: page.metrics().get("Lag, records") == "0", "the page follows the topics")
        plan = plan_of(settings, 300)
        shop.publish(plan, until=150)
        shop.drain(consumer)
        looking = Lookup(settings)
        listed = [found for found in looking.sessions("online", 0.0, 1.0, 1) if found is not None]
        likely = listed[0].sessions[0]
        looking.close()

        # The address says what is shown: it can be shared.
        page.open(f"/live?session={likely['session_id']}&by=online", "One session")
        chance = f"{likely['predictions']['online']['conversion']:.1%}"
        page.wait(lambda: page.metrics().get("Chance now · online") == chance, "its chance is shown")
        page.wait(lambda: "after this click" in page.text(), "its story is told")
        page.wait(lambda: "What moved its chance most" in page.text(), "the reasons are given")
        pictures(page, folder, "live-open")
        page.script("window.neverReloaded = true")
        shop.publish(plan, after=150)

        def scored() -> int:
            return int(page.metrics().get("Scored since you look", "0").replace(",", ""))

        page.wait(lambda: scored() == 300, "all 300 sessions are on the page")
        page.wait(lambda: page.metrics()["Lag, records"] == "0", "the lag is gone")
        page.wait(lambda: "It has closed" in page.text(), "the end of the session is told")
        page.click("Closed sessions")
        page.wait(lambda: "The last scores" in page.headings(), "the closed sessions are shown")
        page.wait(lambda: "view=Closed" in page.browser.current_url, "the address says so")
        pictures(page, folder, "live-closed")
        assert page.script("return window.neverReloaded")
        assert consumer.stop() == 0
    finally:
        shop.close()


def test_a_port_in_use_is_told(dashboard: str, settings: Settings, folder: Path) -> None:
    port = dashboard.rpartition(":")[2]
    second = Process(["dashboard", "--port", port], settings, folder / "second.log")
    assert second.wait(30) == 78
    assert f"port {port} on 127.0.0.1 is in use" in second.last_words()
