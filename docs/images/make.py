"""Draws the plots of docs/models.md from the findings of a bundle: `python docs/images/make.py [BUNDLE]`.

BUNDLE is the folder of a bundle, as `clickstream train` prints it; by default the one in use.
"""

from __future__ import annotations

import sys
from pathlib import Path

from clickstream.bundles.champion import locate
from clickstream.infra.settings import load_settings
from clickstream.models.evaluation import EVALUATION, Evaluation
from clickstream.report import plots


def drawn(evaluation: Evaluation) -> list[plots.Plot | None]:
    """The plots that the page shows."""
    return [
        plots.scorers(evaluation),
        plots.roc(evaluation),
        plots.reliability(evaluation),
        plots.by_seen(evaluation),
        plots.importance(evaluation, "batch conversion"),
        plots.revenue(evaluation, "batch"),
        plots.clusters(evaluation.clusters),
        plots.choice_of_k(evaluation.choice_of_k, len(evaluation.clusters)),
    ]


def main() -> None:
    """Write one SVG file a plot, beside this script."""
    bundle = Path(sys.argv[1]) if len(sys.argv) > 1 else locate(load_settings().bundles, "champion")
    evaluation = Evaluation.model_validate_json((bundle / EVALUATION).read_text(encoding="utf-8"))
    for plot in drawn(evaluation):
        if plot is not None:
            (Path(__file__).parent / f"{plot.name}.svg").write_text(plot.standalone_svg(), encoding="utf-8")
            print(f"{plot.name}: {plot.title}")


if __name__ == "__main__":
    main()
