"""What `demo` and `chaos` replay: the clicks that were named, or else some that are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from clickstream.cli.shop_log import no_log
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553
from clickstream.features.shop_file import built_in
from clickstream.files.location import find_dataset, find_example
from clickstream.infra.errors import UsageError
from clickstream.producer.synthetic_shop import SHOP

_SYNTHETIC_SESSIONS = {UCI553.definition.name: 24_026, SHOP: 4_000}
_SAMPLE = "online-store"


class ReplayedClicks(NamedTuple):
    """A file and its mapping; without a file, so many made-up sessions."""

    data: Path | None
    mapping: Path | None
    synthetic: int | None
    note: str | None = None

    def words(self, sessions: int | None = None) -> list[str]:
        """The options of `clickstream replay` for these clicks, at most `sessions` of their sessions."""
        if self.synthetic is not None:
            return ["--synthetic", str(sessions or self.synthetic)]
        words = ["--data", str(self.data)]
        if self.mapping is not None:
            words += ["--mapping", str(self.mapping)]
        return words if sessions is None else [*words, "--sessions", str(sessions)]


def replayed_clicks(definition: ShopDefinition, data: Path | None, mapping: Path | None) -> ReplayedClicks:
    """The clicks of a shop: those named, or, without any, what is at hand.

    That is the dataset, or made-up sessions, for uci553; made-up sessions for synthetic; for online-store the
    made-up sample among the examples.

    Raises:
        MissingFileError: there is nothing for this shop.
        UsageError: a mapping without the file that it describes.
    """
    if mapping is not None and data is None:
        raise UsageError(f"--mapping {mapping} without --data", "Name the file that it describes.")
    if definition is UCI553.definition:
        data = find_dataset(data)
    if data is not None:
        return ReplayedClicks(data, mapping, None)
    if definition.name in _SYNTHETIC_SESSIONS and definition == built_in(definition.name):
        note = "The dataset is not here (UCI 553, see --data): synthetic sessions are used."
        return ReplayedClicks(
            None,
            None,
            _SYNTHETIC_SESSIONS[definition.name],
            note if definition is UCI553.definition else "Made-up sessions of shop synthetic are used.",
        )
    folder = find_example(_SAMPLE) if definition == built_in(_SAMPLE) else None
    if folder is None:
        raise no_log(definition)
    note = "No --data: the made-up sample of 900 sessions is used."
    return ReplayedClicks(folder / "events.csv.gz", folder / "mapping.toml", None, note)
