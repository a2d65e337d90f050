"""How many sessions a lesson of the online models may hold: what it saves, and what answers lose.

    .venv/bin/python bench/lessons.py [--data FILE]

On the training months of the public dataset alone: a warm start from April and May, then June, each session
predicted before it is learned, by the models of 1 partition and `of` 8. `changed`: the same June in a shop in
which from the 16th on every second session that would have converted does not; log loss and ECE are those of
the days since, so that models that follow slowly are seen to. `µs`: CPU of a session.
"""

from __future__ import annotations

import argparse
import datetime
import time
import zlib
from functools import partial
from itertools import compress
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from partitions import figures, progressive
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from clickstream.features.outcome import Outcome
from clickstream.files.dataset import read_dataset
from clickstream.files.location import find_dataset
from clickstream.infra.errors import InputError
from clickstream.models import online
from clickstream.models.case import Example
from clickstream.models.clusters import fit_clusters
from clickstream.models.examples import base_rates, example
from clickstream.models.online import globals_of
from clickstream.models.uci_online import UciOnlineModels
from clickstream.training.honest import warm_start
from clickstream.training.training import vocabulary_of

LESSONS = (1, 8, 16, 32, 64, 128)
PARTITIONS = (1, 8)
JUNE, CHANGE, JULY = (datetime.date(2008, *day) for day in ((6, 1), (6, 16), (7, 1)))
SEED = 42


class DatedExample(NamedTuple):
    """A session, when it was and what it teaches."""

    session_id: str
    day: datetime.date
    one: Example


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--data", type=Path)
    data = find_dataset(words.parse_args().data)
    if data is None:
        raise InputError("the public dataset is needed", "Give it with --data.")
    sessions = sorted(read_dataset(data).sessions(), key=lambda session: session[1])
    dated = [DatedExample(name, day, example(session)) for name, day, session in sessions if day < JULY]
    known = [one for _, day, one in dated if day < JUNE]
    june = [one for one in dated if one.day >= JUNE]
    taught = [(one.session_id, one.one) for one in june]
    changed = [(one.session_id, _changed(one)) for one in june]
    since = [one.day >= CHANGE for one in june]
    table = Table(title=f"{len(june):,} sessions of June, {len(known):,} known", title_justify="left")
    titles = ("K", "of", "AUC", "loss", "ECE", "R²", "changed", "ECE", "µs")
    for title in titles:
        table.add_column(title, justify="right")
    with threadpool_limits(limits=1):
        vocabulary, rates = vocabulary_of(known), base_rates(known)
        clusters = fit_clusters([one.case.whole for one in known], SEED)
        for length in LESSONS:
            with patch.object(online, "LESSON", length):
                warm = warm_start(known, vocabulary, clusters, rates)
                made = partial(UciOnlineModels, "", vocabulary, clusters, rates, globals_of(warm), warm)
                for count in PARTITIONS:
                    began = time.process_time()
                    said = progressive([made() for _ in range(count)], taught)
                    each = (time.process_time() - began) / len(june) * 1e6
                    after = progressive([made() for _ in range(count)], changed)
                    found = figures([one for _, one in taught], said)
                    followed = figures(
                        [one for _, one in compress(changed, since)], [*compress(after, since)]
                    )
                    table.add_row(
                        f"{length}",
                        f"{count}",
                        *(f"{found[name]:.4f}" for name in ("auc", "log_loss", "ece", "r2")),
                        *(f"{followed[name]:.4f}" for name in ("log_loss", "ece")),
                        f"{each:.1f}",
                    )
    Console().print(table)


def _changed(dated: DatedExample) -> Example:
    """The session in a shop that sells less from CHANGE on."""
    kept = dated.day < CHANGE or zlib.crc32(dated.session_id.encode()) % 2
    return dated.one if kept else dated.one._replace(outcome=Outcome(False, 0.0))


if __name__ == "__main__":
    main()
