"""Promotions in a store of bundles, brought to the home on a thread of their own.

Whoever scores looks at the file `champion` of its home, as without a store: no step waits for a request. The
file changes when the bundle that it names is there.
"""

from __future__ import annotations

import threading

from clickstream.bundles.champion import CHAMPION
from clickstream.bundles.store import BundleStore
from clickstream.infra.errors import ClickstreamError, UnavailableError, of_system

_ASK_EACH_S = 5.0
_TRY_AGAIN_S = 30.0


class StoreFollower:
    """Asks the store each `each_s` seconds, until the process ends.

    Attributes:
        problem: why the home may be behind the store; None when it is not.
    """

    def __init__(self, store: BundleStore, each_s: float = _ASK_EACH_S) -> None:
        self.problem: ClickstreamError | None = None
        self._store = store
        self._each_s = each_s
        self._stopped = threading.Event()
        self._seen: str | None = None
        threading.Thread(target=self._follow, name="bundle-store", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def _follow(self) -> None:
        wait = 0.0
        while not self._stopped.wait(wait):
            self.problem = self._asked()
            # What is wrong with a bundle is not put right within seconds, and each try fetches it.
            passing = self.problem is None or isinstance(self.problem, UnavailableError)
            wait = self._each_s if passing else max(self._each_s, _TRY_AGAIN_S)

    def _asked(self) -> ClickstreamError | None:
        """Bring what is in use now, and say what stands in the way."""
        try:
            tag = self._store.champion_tag()
            if tag != self._seen:
                self._store.bring(CHAMPION)
                self._seen = tag
        except ClickstreamError as error:
            return error
        except OSError as error:
            return of_system(error) or ClickstreamError(str(error), "See the home of this process.")
        return None
