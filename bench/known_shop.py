"""Models held against the truth: the shop `synthetic`, whose chance of a purchase is known at every click.

    .venv/bin/python bench/known_shop.py [SESSIONS]     # 20,000 by default, two minutes

Ends with 1 where the AUC is off that of the true chances by more than 0.01, the ECE above 0.015,
or the control outside 0.49 to 0.51.
"""

from __future__ import annotations

import sys

import numpy as np

from clickstream.features.shop_file import built_in
from clickstream.models.case import Floats
from clickstream.offline.shop_windows import shop_windows
from clickstream.producer.synthetic_shop import SHOP, known_sessions
from clickstream.training.shop.evaluation import weighted_point_conversion
from clickstream.training.shop.points import points_of
from clickstream.training.shop.training import TRAIN_SHARE, train_shop
from clickstream.windows.rules import Rules

SESSIONS = 20_000
AUC_WITHIN, ECE_AT_MOST, CONTROL = 0.01, 0.015, (0.49, 0.51)


def main(sessions: int) -> int:
    """Train, judge, print; the exit code."""
    shop, known = built_in(SHOP), known_sessions(sessions)
    windows = shop_windows(known.sessions, Rules())
    fitted = train_shop(shop, windows, data_sha256=known.sha256, data_name=SHOP, step=print)
    held = windows[round(TRAIN_SHARE * len(windows)) :]
    points = points_of(shop, held).weighing()
    truth = np.array(
        [
            known.chances[held[number].session_id][seen - 1]
            for number, seen in zip(points.window, points.seen, strict=True)
        ]
    )
    whole = np.ones((1, points.windows))

    def figure(conversion: Floats, name: str) -> float:
        return float(weighted_point_conversion(points, conversion)(whole)[name][0])

    conversion, _ = fitted.batch.answer(points.table)
    figures = fitted.evaluation.figures
    best = figure(truth, "auc")
    print(f"\n{len(points):,} decision points of {len(held):,} sessions; the k-th of a session weighs 1/k")
    print(f"AUC   true chances {best:.4f}, batch {figures['batch']['auc'].value:.4f},"
          f" online {figures['online']['auc'].value:.4f}")  # fmt: skip
    print(f"ECE   true chances {figure(truth, 'ece'):.4f}, batch {figures['batch']['ece'].value:.4f},"
          f" online {figures['online']['ece'].value:.4f}")  # fmt: skip
    print(f"control AUC {fitted.evaluation.shuffled:.4f}")
    print(f"mean over clicks: true chance {truth.mean():.4f}, batch {conversion.mean():.4f};"
          f" mean distance {np.abs(conversion - truth).mean():.4f}")  # fmt: skip
    good = (
        abs(figures["batch"]["auc"].value - best) <= AUC_WITHIN
        and figures["batch"]["ece"].value <= ECE_AT_MOST
        and CONTROL[0] <= fitted.evaluation.shuffled <= CONTROL[1]
    )
    print("as good as it must be" if good else "NOT as good as it must be")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS))
