"""What condition `conversion > BOUND` on open scores is worth: precision, recall, lead before the purchase.

    .venv/bin/python bench/open_condition.py LOG MAPPING [--shop online-store] [--bound 0.5 …]

Trains on the first 70 % of the sessions and goes through the rest click by click, as a consumer does with a
log in order: it looks at the clicks before the one that meets the goal, and a condition holds once a session.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from clickstream.cli.shop_log import read_shop_log
from clickstream.features.shop import shop_of
from clickstream.offline.shop_windows import shop_windows
from clickstream.records.shops import load_shop
from clickstream.training.shop.points import points_of
from clickstream.training.shop.training import TRAIN_SHARE, train_shop
from clickstream.windows.rules import Rules


def main() -> None:
    """Train, go through the held-out sessions, print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("log", type=Path)
    words.add_argument("mapping", type=Path)
    words.add_argument("--shop", default="online-store")
    words.add_argument("--bound", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    asked = words.parse_args()
    definition = load_shop(asked.shop).definition
    log = read_shop_log(definition, asked.log, asked.mapping, None, 0, Console(stderr=True))
    windows = shop_windows(log.sessions, Rules(shop=shop_of(definition)))
    fitted = train_shop(definition, windows, data_sha256=log.sha256, data_name=log.name)
    held = windows[round(TRAIN_SHARE * len(windows)) :]
    points = points_of(definition, held, most=Rules().max_clicks)
    chance, _ = fitted.batch.answer(points.table)
    converted = np.zeros(len(held), dtype=bool)
    converted[points.window] = points.converted > 0
    print(f"{len(held):,} held-out sessions, {converted.sum():,} with the goal after a click before it")
    for bound in asked.bound:
        begins: dict[int, int] = {}
        for window, seen in zip(points.window[chance > bound], points.seen[chance > bound], strict=True):
            begins.setdefault(int(window), int(seen))
        right = [window for window in begins if converted[window]]
        lead = []
        for window in right:
            clicks, evident = held[window].clicks, int(points.seen[points.window == window].max())
            at = begins[window]
            lead.append((evident + 1 - at, (clicks[evident].event_time - clicks[at - 1].event_time) / 1_000))
        precision, recall = len(right) / max(len(begins), 1), len(right) / converted.sum()
        print(f"conversion > {bound:g}: holds in {len(begins):,}, {len(right):,} of them with the goal:"
              f" precision {precision:.2f}, recall {recall:.2f}")  # fmt: skip
        if lead:
            (early, median, late), (early_s, median_s, late_s) = np.percentile(lead, (25, 50, 75), axis=0).T
            print(f"  lead, quarter, median, three quarters: {early:.0f}, {median:.0f}, {late:.0f} clicks;"
                  f" {early_s:.0f}, {median_s:.0f}, {late_s:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
