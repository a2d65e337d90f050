"""The topics: created where they are missing, used as they are where they are there."""

from __future__ import annotations

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import Admin, Topic
from clickstream.infra.settings import Settings, opens


def prepare_topics(settings: Settings) -> Topic:
    """Create the topics where they are missing, and describe the clicks topic.

    Clicks of a replay carry times in the past, so their topic keeps records for ever; a record from the
    future is refused by the broker already.
    """
    admin = Admin(settings)
    try:
        clicks = admin.describe_topic(settings.clicks_topic)
        if clicks is None:
            limits = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(settings.max_ahead)}
            admin.create_topic(
                settings.clicks_topic, settings.partitions, limits, settings.replication_factor
            )
            clicks = admin.describe_topic(settings.clicks_topic)
        if clicks is None:
            raise ClickstreamError(f"topic {settings.clicks_topic} was created and is not there")
        admin.create_topic(settings.scores_topic, clicks.partitions, {}, settings.replication_factor)
        if opens(settings):
            admin.create_topic(settings.open_scores_topic, clicks.partitions, {}, settings.replication_factor)
        admin.create_topic(settings.dead_letter_topic, 1, {}, settings.replication_factor)
        return clicks
    finally:
        admin.close()
