"""What a file shows that the models were not trained on, and when that is too much for an average."""

from __future__ import annotations

from typing import NamedTuple

from clickstream.bundles.bundle import Bundle
from clickstream.dashboard import theme
from clickstream.dashboard.results import ScoredFile
from clickstream.infra.words import counted
from clickstream.models.shop.batch import ShopBatch

_TOO_MUCH = 0.5


class Unseen(NamedTuple):
    """`share`, from 0 to 1, of what is shown is unknown to the models; `words` say so, all of them ours."""

    share: float
    words: str

    @property
    def withholds(self) -> bool:
        """Whether averages over the file would say little of it."""
        return self.share > _TOO_MUCH


def unseen_of(result: ScoredFile, bundle: Bundle) -> Unseen | None:
    """What the models do not know; None where they know all of it.

    Of shop uci553 the clicks that show such a product or category; of any other the texts of sessions.
    """
    scores = result.scores
    if scores.unknown is None:
        return _texts(result, bundle)
    unknown, kept = scores.unknown, scores.cleaning.kept
    if not unknown.clicks:
        return None
    return Unseen(
        unknown.clicks / kept,
        f"{theme.count(unknown.clicks)} of {counted(kept, 'click')} show what the models do not know"
        f" ({counted(unknown.products, 'product')}, {counted(unknown.categories, 'category')}):"
        " they answer as if nothing were shown there.",
    )


def _texts(result: ScoredFile, bundle: Bundle) -> Unseen | None:
    models = bundle.fitted["batch"]
    if not isinstance(models, ShopBatch):
        return None
    unknown = whole = 0
    where = []
    for name, known in models.inputs.texts.items():
        if name not in result.scores.sessions.types:
            continue
        shown = result.frame[name].dropna()
        new = int((~shown.isin(known)).sum())
        whole, unknown = whole + len(shown), unknown + new
        if new:
            where.append(name)
    if not unknown:
        return None
    return Unseen(
        unknown / whole,
        f"{theme.count(unknown)} of {counted(whole, 'text')} in the features of sessions are none that the"
        f" models know (features {', '.join(f'`{name}`' for name in where)}): they answer as if nothing were"
        " shown there.",
    )
