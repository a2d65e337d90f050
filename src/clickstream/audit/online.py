"""The online predictions of one partition after the other, learned again in the order of its closing windows.

What the online models answer depends on all that they learned before. A score says how many sessions that
were (`models.lessons`), so the audit learns along: it begins from the bundle's warm start where a score says
0, and predicts, then learns, window by window. Where that chain breaks, what the models know is not known
any more, and their answers count as unchecked until they begin again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from clickstream.audit.predictions import UNSCORABLE, Learner, Predictor, agree
from clickstream.audit.spill import SpilledScore
from clickstream.bundles.bundle import Case, ScorerOutput
from clickstream.models.case import Example

OnlineVerdict = Literal["checked", "unchecked", "lessons", "answers"]

UNKNOWN = "online: what the models had learned before is not known"
_NOT_OURS = "online: models.lessons is not what the windows before it make"


@dataclass(slots=True)
class _Chain:
    """What is known of the online models of a partition.

    Attributes:
        passed: windows that may have been learned, since the log's first record.
        lessons: sessions learned by the models in use; None: no score has said so.
        models: None where what they know is not known.
        restarted: they began again without another bundle, as after a loss of all of Redis.
        other: what the next score would say if the last one, which did not fit, was right.
    """

    passed: int = 0
    bundle: int | None = None
    lessons: int | None = None
    models: Learner | None = None
    restarted: bool = False
    other: int | None = None


class OnlineAnswer(NamedTuple):
    """What became of the online half of a score.

    `lessons` is their number where the score has another; `answers` are the predictions: where the score has
    others, and at a point; `raised` is what the models raise for the window; `reason` why they could not be
    asked, empty where the bundle is not here.
    """

    verdict: OnlineVerdict
    lessons: int | None = None
    answers: Sequence[ScorerOutput] = ()
    raised: Exception | None = None
    reason: str = ""


@dataclass(slots=True)
class OnlineCheck:
    """Learns along. `load` gives a bundle by its number, or says why it cannot.

    Attributes:
        restarts: how often the models of a partition began again under the same bundle.
    """

    load: Callable[[int], Predictor | str]
    restarts: int = 0
    _chains: dict[int, _Chain] = field(default_factory=dict)

    def score(
        self,
        found: SpilledScore,
        published: Sequence[ScorerOutput],
        cases: Sequence[Case],
        lesson: Example,
        whole: bool,
        batch_failed: bool,
    ) -> OnlineAnswer:
        """The window that closed next has the score `found`; compare, then learn.

        Args:
            published: the answers in the score to `cases`; none where the score has an error.
            whole: every window of the partition before this one was seen.
            batch_failed: the bundle's other models cannot answer, so the online ones were not asked.
        """
        chain = self._chain(found.source)
        fits = self._follow(chain, found.bundle, found.lessons, whole)
        models, known = chain.models, chain.lessons
        raised: Exception | None = None
        answers: Sequence[ScorerOutput] = ()
        if models is not None:
            try:
                answers = () if batch_failed else [models.predict(case) for case in cases]
                models.learn(*lesson)
            except UNSCORABLE as error:
                raised = error
            chain.lessons = models.lessons
        elif chain.lessons is not None:
            chain.lessons += 1
        chain.passed += 1
        if not fits:
            if whole and found.lessons >= chain.passed:
                return OnlineAnswer("lessons", known, raised=raised)
            return OnlineAnswer("unchecked", raised=raised, reason=_NOT_OURS)
        if models is None:
            is_away = isinstance(self.load(found.bundle), str)
            return OnlineAnswer("unchecked", reason="" if is_away else UNKNOWN)
        if not all(map(agree, published, answers)):
            return OnlineAnswer("answers", answers=answers, raised=raised)
        return OnlineAnswer("checked", raised=raised)

    def bundle_at(self, partition: int) -> int | None:
        """The bundle that the last score of a partition names, as a number."""
        return self._chain(partition).bundle

    def at_point(
        self, partition: int, bundle: int, lessons: tuple[int, int] | None, case: Case, whole: bool
    ) -> OnlineAnswer:
        """What the models of a partition say of a session that is open now. They learn nothing.

        Args:
            bundle: whose they are.
            lessons: bundle and lessons that an open score names; None: there is none.
            whole: as in `score`.
        """
        chain = self._chain(partition)
        if lessons is not None and not self._follow(chain, *lessons, whole):
            if whole and lessons[1] > chain.passed:
                return OnlineAnswer("lessons", chain.lessons)
            return OnlineAnswer("unchecked", reason=_NOT_OURS)
        models = chain.models
        if chain.bundle is None and not chain.passed and whole:
            loaded = self.load(bundle)  # nothing has closed, and nobody has said so
            models = None if isinstance(loaded, str) else loaded.online()
        if models is None:
            return OnlineAnswer("unchecked", reason=UNKNOWN)
        try:
            return OnlineAnswer("checked", answers=(models.predict(case),))
        except UNSCORABLE as error:
            return OnlineAnswer("checked", raised=error)

    def unscored(self, partition: int, lesson: Example) -> None:
        """The window that closed next has no score; it was learned all the same."""
        chain = self._chain(partition)
        chain.passed += 1
        if chain.models is not None:
            with suppress(*UNSCORABLE):
                chain.models.learn(*lesson)
            chain.lessons = chain.models.lessons
        elif chain.lessons is not None:
            chain.lessons += 1

    def in_doubt(self, partition: int, lessons: int | None) -> None:
        """The window that closed next may be another one in truth; its score, if any, names `lessons`."""
        chain = self._chain(partition)
        chain.passed += 1
        chain.models = None
        chain.lessons = None if lessons is None else lessons + 1

    def partly(self, partition: int, lessons: int) -> bool:
        """Whether a loss is plausible before a score that is marked as rebuilt partly.

        State that was lost has taken the online models with it: they began again, and their lessons show it.
        The window itself is not learned.
        """
        chain = self._chain(partition)
        if chain.lessons is None:
            return True
        if lessons == chain.lessons and lessons > 0 and not chain.restarted:
            return False
        if lessons < chain.lessons:
            self._restart(chain, lessons)
        return True

    def _follow(self, chain: _Chain, bundle: int, lessons: int, whole: bool) -> bool:
        """Bring the chain to where a score says that the models were; False where it cannot be there."""
        if bundle == chain.bundle and lessons == chain.lessons:
            chain.other = None
            return True
        if bundle != chain.bundle or chain.lessons is None:
            # Lessons beyond 0 are those of windows whose scores are not here, or were made by another bundle.
            first = chain.bundle is None and whole and not chain.passed
            chain.bundle = bundle
            if first and lessons:
                self._begin(chain, 0)
                chain.other = lessons + 1
                return False
            self._begin(chain, lessons)
            return True
        if lessons == 0:
            self._restart(chain, lessons)
            return True
        if lessons == chain.other:
            self._begin(chain, lessons)
            chain.other = None
            return True
        chain.other = lessons + 1
        return False

    def _restart(self, chain: _Chain, lessons: int) -> None:
        chain.restarted = True
        self.restarts += 1
        self._begin(chain, lessons)

    def _begin(self, chain: _Chain, lessons: int) -> None:
        chain.lessons, chain.models = lessons, None
        if lessons == 0 and chain.bundle is not None:
            bundle = self.load(chain.bundle)
            chain.models = None if isinstance(bundle, str) else bundle.online()

    def _chain(self, partition: int) -> _Chain:
        return self._chains.setdefault(partition, _Chain())
