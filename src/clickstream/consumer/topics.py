"""The topics: created where they are missing, used as they are where they are there."""

from __future__ import annotations

from collections.abc import Mapping

from clickstream.infra.kafka import Admin, Topic
from clickstream.infra.settings import Settings, score_topics


def prepare_topics(settings: Settings) -> Topic:
    """Create the topics where they are missing, and describe the clicks topic.

    Clicks of a replay carry times in the past, so their topic keeps records for ever; a record from the
    future is refused by the broker already.
    """
    admin = Admin(settings)
    try:
        limits = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(settings.max_ahead)}
        clicks = _there(admin, settings, settings.clicks_topic, settings.partitions, limits)
        for name in score_topics(settings):
            _there(admin, settings, name, clicks.partitions)
        _there(admin, settings, settings.dead_letter_topic, 1)
        return clicks
    finally:
        admin.close()


def _there(
    admin: Admin, settings: Settings, name: str, partitions: int, config: Mapping[str, str] | None = None
) -> Topic:
    """The topic, created where it is missing: to ask for what is there takes no right to create."""
    topic = admin.describe_topic(name)
    return topic or admin.create_topic(name, partitions, config or {}, settings.replication_factor)
