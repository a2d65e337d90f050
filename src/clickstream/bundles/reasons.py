"""Why a scorer says what it says of one session: on demand, as it costs more than the prediction."""

from __future__ import annotations

from clickstream.bundles.bundle import Bundle
from clickstream.models.case import Case
from clickstream.models.online import OnlineModels
from clickstream.models.reasons import Reasons, strongest
from clickstream.models.scorers import LEARNER, REGISTRY

MOST = 3
"""Reasons that are given where nobody asks for another number."""


def reasons(bundle: Bundle, case: Case, scorer: str | OnlineModels, at_most: int = MOST) -> Reasons | None:
    """The features that moved the chance of conversion most; None where there was no evidence to look at.

    Args:
        scorer: the name of one that the bundle has fitted, or the online models as they are asked.

    Raises:
        KeyError: the bundle has no such scorer.
    """
    online = scorer if isinstance(scorer, OnlineModels) else None
    seen = (LEARNER if online else REGISTRY[str(scorer)]).features_of(case)
    if seen is None:
        return None
    attribution = online.attribution(seen) if online else bundle.fitted[str(scorer)].attribution(seen)
    return strongest(attribution, seen, at_most)
