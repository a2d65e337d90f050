"""What it costs the online models that each partition learns from its own sessions only.

    .venv/bin/python bench/partitions.py [--data FILE] [--bundle ID]

For each number of partitions: every one begins with its own copy of the warm start and gets the sessions
that the default partitioner of Kafka gives it, in time order; each is predicted before it is learned. The
figures are over all held-out sessions together.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from clickstream.bundles.bundle import ScorerOutput, load_bundle
from clickstream.files.dataset import read_dataset
from clickstream.files.location import find_dataset
from clickstream.infra.errors import InputError
from clickstream.infra.kafka import partition_for
from clickstream.infra.settings import load_settings
from clickstream.models.case import Example
from clickstream.models.examples import example
from clickstream.models.figures import Figures, cluster_agreement, conversion_figures, revenue_figures
from clickstream.models.online import OnlineModels

PARTITIONS = (1, 4, 8, 16)
AT_ONCE = 1_000


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--data", type=Path)
    words.add_argument("--bundle", default="champion", help="trained on the same data, split by time")
    asked = words.parse_args()
    bundle = load_bundle(load_settings(bundle=asked.bundle))
    data, first = find_dataset(asked.data), bundle.manifest.split.held_out_from
    if data is None or first is None:
        raise InputError("a dataset and a bundle of a split by time are needed", "Run `clickstream train`.")
    sessions = sorted(read_dataset(data).sessions(), key=lambda session: session[1])
    held_out = [(name, example(session)) for name, day, session in sessions if day >= first]
    batch = [answer["batch"].cluster for answer in bundle.predict([one.case for _, one in held_out])]
    table = Table(title=f"online models, {len(held_out):,} sessions from {first} on", title_justify="left")
    for title in ("partitions", "AUC", "log loss", "ECE", "R²", "MAE", "ARI"):
        table.add_column(title, justify="right")
    for partitions in PARTITIONS:
        answers = progressive([bundle.online() for _ in range(partitions)], held_out)
        agreed = cluster_agreement([answer.cluster for answer in answers], batch)
        found = {**figures([one for _, one in held_out], answers), "ari": agreed}
        names = ("auc", "log_loss", "ece", "r2", "mae", "ari")
        table.add_row(str(partitions), *(f"{found[name]:.4f}" for name in names))
    Console().print(table)


def progressive(
    models: Sequence[OnlineModels], sessions: Sequence[tuple[str, Example]]
) -> list[ScorerOutput]:
    """What the models of each session's partition said before they learned it, in steps as a consumer's."""
    answers = []
    for first in range(0, len(sessions), AT_ONCE):
        step = [
            (models[partition_for(session_id.encode(), len(models))], one)
            for session_id, one in sessions[first : first + AT_ONCE]
        ]
        for model in models:
            model.expect([one.case for mine, one in step if mine is model])
        for mine, one in step:
            answers.append(mine.predict(one.case))
            mine.learn(one.case, one.outcome)
    return answers


def figures(sessions: Sequence[Example], answers: Sequence[ScorerOutput]) -> Figures:
    """How good the answers are, over the sessions with evidence."""
    evident = [
        (one.outcome, answer)
        for one, answer in zip(sessions, answers, strict=True)
        if one.case.evidence is not None
    ]
    return {
        **conversion_figures([o.converted for o, _ in evident], [a.conversion for _, a in evident]),
        **revenue_figures([o.revenue or 0.0 for o, _ in evident], [a.revenue or 0.0 for _, a in evident]),
    }


if __name__ == "__main__":
    main()
