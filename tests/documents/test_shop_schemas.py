"""The schema of a shop's scores takes the features that its sessions have, whatever the definition."""

from __future__ import annotations

from factory import examples
from hypothesis import given
from jsonschema import Draft202012Validator
from oracle import Read, crowded_logs, logs
from shop_definitions import definitions, dressed

from clickstream.documents.records import schema_document
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.records.click import Click
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules


@given(definition=definitions(), log=logs | crowded_logs)
@examples(60)
def test_what_a_score_shows_is_what_its_schema_says(definition: ShopDefinition, log: list[Read]) -> None:
    shop = shop_of(definition)
    partition = Partition(Rules(gap=8, allowed_lateness=6, shop=shop))
    for offset, read in enumerate(log):
        if isinstance(read.record, Click):
            partition.advance(offset, read.timestamp, dressed(definition, read.record))
    score = schema_document("score", definition)
    Draft202012Validator.check_schema(score)
    check = Draft202012Validator(score["properties"]["features"])
    revenue = Draft202012Validator(score["$defs"]["ScoredOutcome"]["properties"]["revenue"])
    for closed in partition.closed:
        found = shop.features(closed.session)
        assert [error.message for error in check.iter_errors(found)] == []
        assert not check.is_valid(found | {"of_another_shop": 1})
        assert revenue.is_valid(shop.outcome(closed.session).revenue)
