"""`clickstream topics`: the three topics, created where they are missing."""

from __future__ import annotations

from typing import Annotated

import typer

from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import Admin
from clickstream.infra.settings import load_settings, opens
from clickstream.local.servers import with_running_servers


def topics(
    clicks_topic: Annotated[str | None, typer.Option(help="Topic of the clicks.")] = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Partitions, where they are created.")
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, max=9, help="Copies of each record, where they are created.")
    ] = None,
) -> None:
    """Create the topics of clicks, scores and dead letters where they are missing.

    `consume` does so too; this is for a start in order, or by somebody who may create topics where consumers
    may not. A topic that is there stays as it is.

    Exit codes: 0 all are there; 69 no broker.
    """
    settings = with_running_servers(
        load_settings(clicks_topic=clicks_topic, partitions=partitions, replication_factor=replication_factor)
    )
    prepare_topics(settings)
    admin = Admin(settings)
    try:
        opened = [settings.open_scores_topic] if opens(settings) else []
        for name in (settings.clicks_topic, settings.scores_topic, *opened, settings.dead_letter_topic):
            if topic := admin.describe_topic(name):
                typer.echo(f"{topic.name}: {topic.partitions} partition{'s' * (topic.partitions > 1)}")
    finally:
        admin.close()
