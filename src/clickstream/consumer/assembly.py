"""Puts an engine together on real servers: who gets what, in one place."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.shop import check_shop
from clickstream.consumer.admission import check_members, check_state, open_rules
from clickstream.consumer.claims import Claims
from clickstream.consumer.clients import clients_of
from clickstream.consumer.counters import Counters
from clickstream.consumer.coverage import Coverage
from clickstream.consumer.engine import Engine
from clickstream.consumer.idle import IdleHeartbeats
from clickstream.consumer.model_metrics import ModelMetrics
from clickstream.consumer.open_scores import OpenScores
from clickstream.consumer.ports import Ports
from clickstream.consumer.processor import Processor
from clickstream.consumer.promotion import Promotions
from clickstream.consumer.publisher import Publisher
from clickstream.consumer.recall import ScoresReader
from clickstream.consumer.recovery import Recovery
from clickstream.consumer.scoring import WindowScorer
from clickstream.consumer.shadow import Shadow
from clickstream.consumer.store import Store
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.settings import Settings, opens
from clickstream.monitoring.health import Health, KafkaProbe, RedisProbe
from clickstream.records.shop_click import parser_of
from clickstream.windows.fingerprint import fingerprint, member_text, rules_of, rules_text


def open_engine(
    settings: Settings,
    bundle: Bundle,
    only: Collection[int] | None = None,
    shadow: Bundle | None = None,
) -> Engine:
    """An engine on the servers of the settings, with all prepared: its first poll joins the group.

    Args:
        settings: of the consumer.
        bundle: what it scores with, until another one is promoted.
        only: partitions to serve, where not all that the group gives; the others are left as they are.
        shadow: a candidate that rides along: it scores the same windows, and only metrics say how.

    Raises:
        BundleError: the bundle or the shadow is of another shop than the settings name.
        ConfigurationError: a condition on open scores cannot be read; the Kafka client is not installed.
        SettingsChangedError: the group's members have other rules or other open scores, or all its open
            sessions other rules.
        UnavailableError: a server does not answer.

    >>> from clickstream import Settings, load_bundle, open_engine
    >>> settings = Settings()
    >>> engine = open_engine(settings, load_bundle(settings))
    >>> engine.stop()  # as a signal handler would, later
    >>> engine.run()
    """
    rules, shared = rules_text(settings), member_text(settings)
    shop = rules_of(settings).shop
    for one in (bundle, *([shadow] if shadow else [])):
        check_shop(one.manifest, shop.definition, f"bundle {one.path}")
    opened = OpenScores(settings) if opens(settings) else None
    clients = clients_of(settings)
    topic = prepare_topics(settings)
    store = Store(settings, topic.id)
    check_members(settings, shared, wait_ms=settings.session_timeout + 1_000)
    check_state(open_rules(settings, topic, store), rules)
    ports = Ports(
        consumer=clients.group(settings, settings.clicks_topic, shared),
        publisher=Publisher(settings, topic.partitions, partial(clients.transactions, settings)),
        store=store,
        clock=time.monotonic,
    )
    idle = IdleHeartbeats(settings, topic.name, ports.clock)
    counters = Counters(
        store,
        ports.consumer,
        settings.scores_topic,
        settings.open_scores_topic,
        topic.partitions,
        idle.results,
        ports.clock,
    )
    scores = ScoresReader(settings, topic.partitions)
    recovery = Recovery(
        settings,
        topic,
        ports.consumer,
        store,
        ports.publisher,
        scores,
        bundle,
        counters.transaction,
        ports.clock,
    )
    claims = Claims(
        topic,
        ports.consumer,
        recovery,
        counters,
        Coverage(settings, topic.partitions, ports.clock),
        partial(check_members, settings, shared),
        ports.clock,
        only,
    )
    scorer = WindowScorer(bundle, settings.clicks_topic, fingerprint(settings), shop, opened)
    metrics = ModelMetrics(bundle.id, shop)
    parser = parser_of(shop.definition)
    rider = None if shadow is None else Shadow(shadow, shop)
    processor = Processor(
        settings, topic, ports, recovery, claims, parser, scorer, counters, metrics, rider, opened
    )
    health = Health((RedisProbe(settings), KafkaProbe(settings)))
    return Engine(settings, ports, claims, processor, scorer, Promotions(settings, ports.clock), idle, health)
