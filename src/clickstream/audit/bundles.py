"""The bundles that scores name, to compute their predictions again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from clickstream.audit.predictions import Predictor
from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.champion import bundles_of
from clickstream.bundles.folder import known_ids
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.records.shops import load_shop


def bundle_finder(settings: Settings, named: str | None) -> Callable[[str], Predictor | str]:
    """Gives a bundle by its id, or says why it cannot.

    It searches the one `named`, those in the folder and in the store of bundles, and the one that the
    settings name.

    Raises:
        BundleError: `named` cannot be used.
        UnavailableError, ConfigurationError: the store of bundles does not answer, or refuses.
    """
    shop = load_shop(settings.shop).definition.name
    folder = bundles_of(settings.bundles, shop)
    given = None if named is None else load_bundle(settings, named)

    def find(bundle_id: str) -> Predictor | str:
        if given is not None and given.id == bundle_id:
            return given
        # The id comes from the topic: only what is in our own folder or store is opened by it, never a path.
        if bundle_id in known_ids(settings, shop):
            try:
                return load_bundle(settings, bundle_id)
            except BundleError as error:
                return error.what
        with suppress(BundleError):
            used = load_bundle(settings)
            if used.id == bundle_id:
                return used
        return f"bundle {bundle_id!r} is not in {folder}"

    return find
