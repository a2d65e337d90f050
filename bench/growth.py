"""What a click costs as a shop grows: sessions open, partitions, features. Prints, asserts nothing.

    .venv/bin/python bench/growth.py                          all three, half an hour
    .venv/bin/python bench/growth.py --of open --plot FOLDER  one of them, and its plot

Each row is a consumer of its own over a backlog of the same sessions. Sessions that stay open during the
measurement are filled in before it: one click each, and a gap of a month. Features are counts of made-up
conditions, added to shop `synthetic` and to what its models are asked.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
from engine import Run, console, plan_of, publish, run, system
from matplotlib import pyplot
from rich.table import Table

from clickstream.bundles.champion import bundles_of, promote
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in_file, read_definition
from clickstream.infra.kafka import partition_for
from clickstream.infra.settings import Settings
from clickstream.offline.shop_windows import shop_windows
from clickstream.producer.faults import FaultOptions
from clickstream.producer.plan import PlanOptions, Publication, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.training.shop.training import train_shop
from clickstream.training.writing import write_shop
from clickstream.windows.rules import Rules

OPEN = (0, 1_000, 10_000, 100_000, 400_000)
PARTITIONS = (1, 8, 64, 512)
FEATURES = (21, 50, 200)
_MONTH_MS = 30 * 86_400_000
_TRAINED = 6_000


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--of", choices=("open", "partitions", "features"), nargs="*")
    words.add_argument("--sessions", type=int, default=15_000, help="measured, 6.9 clicks each")
    words.add_argument("--most", type=int, default=max(OPEN), help="leave out what is larger")
    words.add_argument("--plot", type=Path, help="folder for the plots")
    asked = words.parse_args()
    chosen = asked.of or ("open", "partitions", "features")
    with system() as (settings, folder):
        if "open" in chosen:
            sizes = [n for n in OPEN if n <= asked.most]
            rows = [(n, _open_at_once(settings, folder, n, asked.sessions)) for n in sizes]
            _show("sessions open", rows, asked.plot)
        if "partitions" in chosen:
            sizes = [n for n in PARTITIONS if n <= asked.most]
            rows = [(n, _partitions(settings, folder, n, asked.sessions)) for n in sizes]
            _show("partitions", rows, asked.plot)
        if "features" in chosen:
            sizes = [n for n in FEATURES if n <= asked.most]
            rows = [(n, _features(settings, folder, n, asked.sessions)) for n in sizes]
            _show("features", rows, asked.plot)


def _open_at_once(settings: Settings, folder: Path, open_sessions: int, sessions: int) -> Run:
    plan = list(plan_of(settings, sessions).publications())
    settings = _named(settings, f"open-{open_sessions}", gap=_MONTH_MS)
    before = min(sent.timestamp for sent in plan) - 60_000
    fill = _fill(plan, open_sessions, before, settings.partitions)
    return _measure(settings, folder, chain(fill, _ended(plan)), open_sessions)


def _partitions(settings: Settings, folder: Path, partitions: int, sessions: int) -> Run:
    settings = _named(settings, f"partitions-{partitions}", partitions=partitions)
    return _measure(settings, folder, plan_of(settings, sessions).publications())


def _features(settings: Settings, folder: Path, features: int, sessions: int) -> Run:
    name = f"features-{features}"
    shop_file = folder / f"{name}.toml"
    shop_file.write_text(_shop_of(features, name))
    settings = _named(settings, name, shop=str(shop_file), home=folder / name)
    definition = read_definition(shop_file.read_bytes(), shop_file.name)
    log = known_log(_TRAINED, definition=definition)
    console.print(f"training on {len(definition.features)} features ...")
    windows = shop_windows(log.sessions, Rules(shop=shop_of(definition)))
    fitted = train_shop(definition, windows, data_sha256=log.sha256, data_name=name)
    promote(bundles_of(settings.bundles, definition.name), write_shop(fitted, settings).id)
    log = known_log(sessions, definition=definition)
    schedule = make_schedule(log, ScheduleOptions())
    plan = make_plan(schedule, PlanOptions.of(settings, settings.partitions, True, FaultOptions()))
    return _measure(settings, folder, plan.publications())


def _named(settings: Settings, name: str, **changed: Any) -> Settings:
    """Settings with topics and a group of their own."""
    names = {"clicks_topic": name, "scores_topic": f"{name}-scores", "group": name}
    return settings.model_copy(update=names | changed)


def _fill(plan: Sequence[Publication], count: int, at: int, partitions: int) -> Iterator[Publication]:
    """One click of each of `count` sessions, all at one time, like the first click of `plan`."""
    first = next(sent for sent in plan if sent.is_click)
    click = orjson.loads(first.value)
    for number in range(count):
        session_id = f"open-{number}"
        key = session_id.encode()
        value = orjson.dumps(click | {"session_id": session_id, "event_time": at})
        partition = partition_for(key, partitions)
        yield first._replace(partition=partition, key=key, value=value, timestamp=at)


def _ended(plan: Sequence[Publication]) -> Iterator[Publication]:
    """The same clicks, the last of each session marked as its end."""
    left = Counter(sent.key for sent in plan if sent.is_click)
    for sent in plan:
        if sent.is_click:
            left[sent.key] -= 1
            if not left[sent.key]:
                yield sent._replace(value=orjson.dumps(orjson.loads(sent.value) | {"end": True}))
                continue
        yield sent


def _shop_of(features: int, name: str) -> str:
    """Shop `synthetic` with conditions counted until it has so many features."""
    text = built_in_file(SHOP).decode()
    given = len(read_definition(text, SHOP).features)
    more = "".join(f"dearer_{n} = {{ count = 'price > {n}' }}\n" for n in range(1, features - given + 1))
    head, tail = text.replace(f'name = "{SHOP}"', f'name = "{name}"').split("[clusters]")
    return f"{head}{more}\n[clusters]{tail}"


def _measure(settings: Settings, folder: Path, records: Iterator[Publication], filled: int = 0) -> Run:
    """A consumer over `records`, of which the first `filled` are not measured."""
    return run(settings, publish(settings, records), folder, filled=filled)


def _show(what: str, rows: Sequence[tuple[int, Run]], plots: Path | None) -> None:
    table = Table(title=f"a click's cost by {what}", title_justify="left")
    for title in (what, "open at half", "µs CPU a click", "clicks/s", "consumer MB", "Redis MB"):
        table.add_column(title, justify="right")
    for size, cost in rows:
        cells = (size, cost.open_sessions, cost.cpu, cost.clicks_per_s, cost.resident_mb, cost.redis_mb)
        table.add_row(*(f"{cell:,.1f}" if at == 2 else f"{cell:,.0f}" for at, cell in enumerate(cells)))
    console.print(table)
    if plots is not None:
        _plot(what, rows, plots / f"growth-{what.split()[-1]}.png")


def _plot(what: str, rows: Sequence[tuple[int, Run]], path: Path) -> None:
    """Bars: the sizes are few and lie far apart."""
    figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
    bars = axes.bar([f"{size:,}" for size, _ in rows], [cost.cpu for _, cost in rows], color="#4c72b0")
    axes.bar_label(bars, fmt="%.0f")
    axes.set(xlabel=what, ylabel="µs of CPU a click")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    main()
