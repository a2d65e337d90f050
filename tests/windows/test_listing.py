"""The clicks that a listing partition names are those that the fold counted."""

from __future__ import annotations

import math
from collections import Counter

from factory import examples
from hypothesis import given
from oracle import Read, logs, rules_to_keep

from clickstream.windows.listing import ListingPartition, clicks_of, ordered_clicks_of, unlisted
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules


@given(rules=rules_to_keep, log=logs)
@examples(300)
def test_the_clicks_listed_are_those_that_the_fold_counted(rules: Rules, log: list[Read]) -> None:
    plain, listing = Partition(rules), ListingPartition(rules)
    for read in log:
        plain.advance(*read)
        listing.advance(*read)
    found = [one._replace(session=unlisted(one.session)) for one in listing.closed]
    assert found == plain.closed
    assert listing.refused == plain.refused
    for closed in listing.closed:
        steps, whole = clicks_of(closed.session), closed.session.whole()
        assert len({step.identity for step in steps}) == len(steps) == closed.session.clicks
        assert Counter(step.category for step in steps) == whole.category_counts
        assert {step.product for step in steps} == whole.product_values
        spent = whole.price_mean * whole.clicks
        assert math.isclose(math.fsum(step.price for step in steps), spent, abs_tol=1e-9)
        assert steps[-1] == closed.session.last
        ordered = ordered_clicks_of(closed.session)
        assert len(ordered) == len(steps) - closed.session.late
        assert (ordered[0].event_time, ordered[-1]) == (closed.session.opened_at, steps[-1])
        assert [step.sort_key for step in ordered] == sorted(step.sort_key for step in ordered)
        assert {step.identity for step in ordered} <= {step.identity for step in steps}
