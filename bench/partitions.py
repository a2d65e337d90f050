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

from clickstream.bundles.bundle import Bundle, ScorerOutput, load_bundle
from clickstream.files.dataset import read_dataset
from clickstream.files.location import find_dataset
from clickstream.infra.errors import InputError
from clickstream.infra.kafka import partition_for
from clickstream.infra.settings import load_settings
from clickstream.models.case import Example
from clickstream.models.examples import example
from clickstream.models.figures import cluster_agreement, conversion_figures, revenue_figures

PARTITIONS = (1, 4, 8, 16)


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
        answers = progressive(bundle, held_out, partitions)
        table.add_row(str(partitions), *_figures([one for _, one in held_out], answers, batch))
    Console().print(table)


def progressive(
    bundle: Bundle, sessions: Sequence[tuple[str, Example]], partitions: int
) -> list[ScorerOutput]:
    """What the online models of each session's partition said before they learned it."""
    models = [bundle.online() for _ in range(partitions)]
    answers = []
    for session_id, one in sessions:
        mine = models[partition_for(session_id.encode(), partitions)]
        answers.append(mine.predict(one.case))
        mine.learn(one.case, one.outcome)
    return answers


def _figures(sessions: Sequence[Example], answers: Sequence[ScorerOutput], batch: Sequence[int]) -> list[str]:
    evident = [
        (one.outcome, answer)
        for one, answer in zip(sessions, answers, strict=True)
        if one.case.evidence is not None
    ]
    found = {
        **conversion_figures([o.converted for o, _ in evident], [a.conversion for _, a in evident]),
        **revenue_figures([o.revenue or 0.0 for o, _ in evident], [a.revenue or 0.0 for _, a in evident]),
        "ari": cluster_agreement([answer.cluster for answer in answers], batch),
    }
    return [f"{found[name]:.4f}" for name in ("auc", "log_loss", "ece", "r2", "mae", "ari")]


if __name__ == "__main__":
    main()
