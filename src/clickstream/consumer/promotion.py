"""A bundle that is promoted while a consumer runs: noticed, verified and loaded between two steps.

A check costs one `stat` a second, also where bundles come from a store: `StoreFollower` asks it. Loading
takes about a tenth of a second of the loop, far below any timeout of the group. What cannot be used is logged
once, with the reason, and the bundle that there is stays in use.
"""

from __future__ import annotations

import time

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.champion import CHAMPION, bundles_of, champion
from clickstream.bundles.following import StoreFollower
from clickstream.bundles.store import store_of
from clickstream.consumer.ports import Clock
from clickstream.infra.errors import BundleError, ConfigurationError, UnavailableError
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings
from clickstream.records.shops import load_shop

log = logger("promotion")

_LOOK_EACH_S = 1.0
_TRY_AGAIN_S = 30.0

_Stamp = tuple[int, int, int]


class Promotions:
    """Watches the file `champion`, where the settings say to follow it. `clock` gives seconds.

    Raises:
        ConfigurationError: the store of bundles, or the key for them, cannot be used.
    """

    def __init__(self, settings: Settings, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        shop = load_shop(settings.shop).definition.name
        self._bundles = bundles_of(settings.bundles, shop)
        self._follows = settings.bundle == CHAMPION
        store = store_of(settings, shop) if self._follows else None
        self._store = None if store is None else StoreFollower(store)
        self._behind = ""
        self._seen: _Stamp | None = None
        self._clock = clock
        self._look_at = clock()
        self._try_again_at: float | None = None
        self._reported = ""

    def newer_than(self, current: Bundle) -> Bundle | None:
        """The bundle in use, ready to score, where it is another than `current`; None otherwise."""
        now = self._clock()
        if not self._follows or now < self._look_at:
            return None
        self._look_at = now + _LOOK_EACH_S
        self._say_whether_behind(current)
        stamp = self._stamp()
        # One that was refused may be put right without a new promotion.
        again = self._try_again_at is not None and now >= self._try_again_at
        if stamp == self._seen and not again:
            return None
        self._seen, self._try_again_at = stamp, None
        try:
            promoted = champion(self._bundles)
            if promoted == current.id:
                return None
            bundle = load_bundle(self._settings, promoted)
            bundle.online()
        except (BundleError, ConfigurationError, UnavailableError) as error:
            self._try_again_at = now + _TRY_AGAIN_S
            if self._reported != error.what:
                self._reported = error.what
                log.error(
                    "promoted bundle not taken", stays=current.id, error=error.what, remedy=error.remedy
                )
            return None
        self._reported = ""
        return bundle

    def _say_whether_behind(self, current: Bundle) -> None:
        """Log where the store cannot be followed, once for each reason, and when it can be again."""
        problem = None if self._store is None else self._store.problem
        if problem is None:
            if self._behind:
                log.info("bundle store is followed again", in_use=current.id)
            self._behind = ""
        elif self._behind != problem.what:
            self._behind = problem.what
            log.error(
                "bundle store not followed", stays=current.id, error=problem.what, remedy=problem.remedy
            )

    def _stamp(self) -> _Stamp | None:
        try:
            found = (self._bundles / CHAMPION).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
