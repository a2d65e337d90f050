"""What an incident does to the models of a shop: payments that fail for three weeks, in a store's log.

    .venv/bin/python bench/incident.py LOG MAPPING [FIGURE.svg]     # half a minute

LOG is `ecom.csv.gz` of the package retentioneering 5.2.4, MAPPING examples/online-store/mapping.toml. Models
are trained on what came before the first payment error; batch then stays as it is, online goes on learning.
Both are judged, before online learns from a session, at its moments after the payment details were given.

Ends with 1 where the incident is not seen as drift, or online does not recover from it sooner than batch.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import FuncFormatter, MultipleLocator, PercentFormatter

from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.mapping import read_shop_mapping
from clickstream.files.reading import read_clicks
from clickstream.files.shop_log import ShopLog
from clickstream.models.case import Floats
from clickstream.models.drift import Alarm, Drift
from clickstream.models.online import BaseRates
from clickstream.models.shop.examples import ShopWindow
from clickstream.models.shop.online import ShopOnline
from clickstream.offline.shop_windows import shop_windows
from clickstream.report.plots.canvas import COLOURS, INK, MUTED, RULE, Margins, Plot, blank, line_of, styled
from clickstream.training.shop.online import progress
from clickstream.training.shop.points import Points, points_of, whole_of
from clickstream.training.shop.training import TRAIN_SHARE, train_shop
from clickstream.windows.rules import Rules

SHOP = "online-store"

DAY = 86_400_000

ROLLING = 40
"""Sessions that reached the payment, over which quality is averaged."""


class Reached(NamedTuple):
    """The sessions that reached the payment, by the time of their last click.

    Attributes:
        at: that time, ms since the epoch; shape (n,), as all here.
        converted: 1 where the goal was met.
        loss: scorer -> mean log-loss at the moments after the payment details, in nats.
    """

    at: Floats
    converted: Floats
    loss: dict[str, Floats]


def main(log: Path, mapping: Path, figure: Path | None) -> int:
    """Train, stream, judge, print; the exit code."""
    shop = built_in(SHOP)
    found, _ = read_clicks(log, shop_of(shop), read_shop_mapping(mapping, shop))
    if not isinstance(found, ShopLog):
        raise TypeError("the clicks of shop uci553")
    windows = shop_windows(found.sessions, Rules())
    failed = [c.event_time for w in windows for c in w.clicks if c.event == "payment_error"]
    began, ended = min(failed), max(failed)
    before = [window for window in windows if window.clicks[-1].event_time < began]
    fitted = train_shop(shop, before, data_sha256=found.sha256, data_name=found.name, step=print)
    later = windows[round(TRAIN_SHARE * len(before)) :]
    points = points_of(shop, later)
    rates = BaseRates(**fitted.contents.base_rates.model_dump())
    classes = frozenset(fitted.contents.online_classes)
    online = ShopOnline("", fitted.inputs, fitted.clusters, rates, classes, fitted.online)
    forecasts = {
        "batch": fitted.batch.answer(points.table)[0],
        "online": progress(shop, online, later, points).conversion,
    }
    reached = reaching(later, points, forecasts)
    rolled = {name: rolling(loss) for name, loss in reached.loss.items()}
    print(f"\npayments fail from {day(began)} to {day(ended)}; {len(failed)} errors")
    alarms = drift(windows, began)
    for alarm, closed in alarms:
        print(f"drift   {alarm.feature}: {alarm.before:.3f} to {alarm.after:.3f}, seen {day(closed)}")
    inside = (reached.at >= began) & (reached.at <= ended)
    met = {
        when: reached.converted[some].mean()
        for when, some in (("before", reached.at < began), ("during", inside), ("after", reached.at > ended))
    }
    print("of those who reach the payment the goal is met by",
          ", ".join(f"{share:.0%} {when}" for when, share in met.items()))  # fmt: skip
    recovered = {}
    for name, losses in rolled.items():
        usual = reached.loss[name][reached.at < began].mean()
        recovered[name] = recovery(losses, usual, inside)
        place = recovered[name]
        back = "not back while payments fail" if place is None else f"back after {place} such sessions"
        print(f"{name:<7} log-loss after payment details {usual:.2f} before; at worst"
              f" {losses[inside].max():.2f}; {back}; at the end {losses[inside][-1]:.2f}")  # fmt: skip
    if figure is not None:
        plot = drawn(reached, rolled, began, ended)
        figure.write_text(plot.standalone_svg(), encoding="utf-8")
        print(f"{figure}: {plot.title}")
    sooner = recovered["online"] is not None and (
        recovered["batch"] is None or recovered["online"] < recovered["batch"]
    )
    seen = any(closed <= ended for _, closed in alarms)
    return 0 if seen and sooner else 1


def reaching(windows: list[ShopWindow], points: Points, forecasts: dict[str, Floats]) -> Reached:
    """Quality at the moments after the payment details, session by session."""
    paying = points.table.column("payment_details") > 0
    numbers = np.unique(points.window[paying])
    closed = np.array([windows[number].clicks[-1].event_time for number in numbers], dtype=np.float64)
    order = np.argsort(closed, kind="stable")
    converted = np.zeros(points.windows)
    converted[points.window] = points.converted
    losses = {}
    for name, forecast in forecasts.items():
        right = np.where(points.converted == 1, forecast, 1 - forecast)
        loss = np.bincount(points.window, -np.log(right) * paying) / np.maximum(
            np.bincount(points.window, paying), 1
        )
        losses[name] = loss[numbers][order]
    return Reached(closed[order], converted[numbers][order], losses)


def rolling(values: Floats) -> Floats:
    """The mean over the last ROLLING values at each place; over fewer at the first."""
    sums = np.append(0.0, np.cumsum(values))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - ROLLING, 0)
    means: Floats = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def recovery(losses: Floats, usual: float, inside: np.ndarray) -> int | None:
    """Sessions of the incident until the rolling loss is back at what was usual; None: not within it.

    It counts from the worst on: at the start the mean is still that of before.
    """
    during = losses[inside]
    worst = int(during.argmax())
    back = np.flatnonzero(during[worst:] <= usual)
    return worst + int(back[0]) if len(back) else None


def drift(windows: list[ShopWindow], began: int) -> list[tuple[Alarm, int]]:
    """What a monitor of all sessions reports from the incident on, with the time of the session at which it"
    " does."""
    closing = sorted(windows, key=lambda window: window.clicks[-1].event_time)
    table = whole_of(built_in(SHOP), closing)
    goal = [float(any(click.event == "purchase" for click in window.clicks)) for window in closing]
    # Of nothing the mean is 0 here: a block of sessions may have none of it.
    watched = np.nan_to_num(np.column_stack([table.values, goal]))
    monitor = Drift((*table.numbers, "goal met"))
    alarms = []
    for at, window in enumerate(closing):
        closed = window.clicks[-1].event_time
        alarms += [(alarm, closed) for alarm in monitor.add(watched[[at]]) if closed >= began]
    return alarms


@styled
def drawn(reached: Reached, rolled: dict[str, Floats], began: int, ended: int) -> Plot:
    """The share of payments that end in a purchase, and what forecasts cost, over time."""
    figure, (above, below) = blank(2, 1, height=4.6, margins=Margins(right=0.7, between=0.25), ratios=(2, 3))
    # The first values are means of few.
    at = (reached.at / DAY)[ROLLING:]
    for axes in (above, below):
        axes.axvspan(began / DAY, ended / DAY, color=RULE, alpha=0.5, lw=0)
        axes.set_xlim(at[0], at[-1])
    above.plot(at, rolling(reached.converted)[ROLLING:], color=INK, lw=1.5)
    above.set_ylim(0, 1)
    above.yaxis.set_major_formatter(PercentFormatter(1, 0))
    above.set_ylabel("met the goal")
    above.tick_params(labelbottom=False)
    above.annotate("payments fail", (began / DAY, 0.9), (4, 0), textcoords="offset points", color=MUTED)
    for name, losses in rolled.items():
        below.plot(at, losses[ROLLING:], color=COLOURS[name], ls=line_of(name), lw=1.5)
        below.annotate(
            name, (at[-1], losses[-1]), (6, 0), textcoords="offset points", color=COLOURS[name],
            weight="bold", va="center", annotation_clip=False,
        )  # fmt: skip
    below.set_ylim(0)
    below.set_ylabel("log-loss, nats")
    below.xaxis.set_major_locator(MultipleLocator(7))
    below.xaxis.set_major_formatter(FuncFormatter(lambda days, _: f"{moment(days * DAY):%-d %b}"))
    above.xaxis.set_major_locator(MultipleLocator(7))
    figure.align_ylabels()
    worst = {
        name: losses[(reached.at >= began) & (reached.at <= ended)][-1] for name, losses in rolled.items()
    }
    return Plot(
        "payment-incident",
        f"At the end of the incident the log-loss of batch is {worst['batch']:.2f}, that of online"
        f" {worst['online']:.2f}",
        f"Sessions that reached the payment, means over the last {ROLLING}: share that met the goal, and"
        " log-loss of"
        " forecasts after the payment details.",
        figure,
    )


def moment(time: float) -> datetime.datetime:
    """Of ms since the epoch, UTC."""
    return datetime.datetime.fromtimestamp(time / 1_000, datetime.UTC)


def day(time: float) -> str:
    """As people write it."""
    return f"{moment(time):%-d %B}"


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) == 4 else None))
