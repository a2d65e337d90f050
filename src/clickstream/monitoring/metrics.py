"""Metrics for Prometheus: every name once, with its meaning and what to do about it.

Values are computed when they are asked for. No label grows with the data: the values of each are a fixed
list, and of bundles only the one in use is shown.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

MetricName = Literal[
    "clickstream_records_total",
    "clickstream_clicks_total",
    "clickstream_heartbeats_total",
    "clickstream_idle_heartbeats_total",
    "clickstream_forgotten_total",
    "clickstream_sessions_closed_total",
    "clickstream_late_total",
    "clickstream_duplicates_total",
    "clickstream_missing_total",
    "clickstream_goals_without_visit_total",
    "clickstream_keys_total",
    "clickstream_scores_total",
    "clickstream_open_scores_total",
    "clickstream_dead_letters_total",
    "clickstream_close_to_score_seconds",
    "clickstream_lookups_total",
    "clickstream_lookup_seconds",
    "clickstream_open_sessions",
    "clickstream_lag_records",
    "clickstream_watermark_lag_seconds",
    "clickstream_partitions",
    "clickstream_ready",
    "clickstream_server_away_seconds",
    "clickstream_steps_total",
    "clickstream_stage_seconds_total",
    "clickstream_stage_runs_total",
    "clickstream_redis_round_trips_total",
    "clickstream_transactions_total",
    "clickstream_transaction_failures_total",
    "clickstream_recoveries_total",
    "clickstream_fenced_total",
    "clickstream_claims_total",
    "clickstream_republished_total",
    "clickstream_suppressed_total",
    "clickstream_bundle_info",
    "clickstream_model_sessions",
    "clickstream_model_log_loss",
    "clickstream_model_auc",
    "clickstream_model_revenue_mae",
    "clickstream_model_same_cluster",
    "clickstream_drift_total",
    "clickstream_shadow_info",
    "clickstream_shadow_failures_total",
    "clickstream_shadow_sessions",
    "clickstream_shadow_log_loss",
    "clickstream_shadow_auc",
    "clickstream_shadow_revenue_mae",
]


class MetricDefinition(NamedTuple):
    """What a metric is, what it means, and what to do about it.

    A name in `_total` is a counter since the start of the process, one with `buckets` (upper bounds) a
    histogram, any other a gauge.
    """

    name: MetricName
    unit: str
    labels: tuple[str, ...]
    meaning: str
    action: str
    buckets: tuple[float, ...] = ()


DEFINITIONS = (
    MetricDefinition(
        "clickstream_records_total",
        "records",
        (),
        "Records of the clicks topic whose effect is in Redis.",
        "Stands still while clicks come: look at the log of the consumer.",
    ),
    MetricDefinition(
        "clickstream_clicks_total",
        "clicks",
        (),
        "Clicks among these records; those that came late or twice are in it.",
        "Stands still in the shop's open hours: the shop, or its way to Kafka, is down.",
    ),
    MetricDefinition(
        "clickstream_heartbeats_total",
        "heartbeats",
        (),
        "Heartbeats among these records.",
        "Nothing; many of them and few clicks: the partitions are idle.",
    ),
    MetricDefinition(
        "clickstream_idle_heartbeats_total",
        "heartbeats",
        ("result",),
        "Heartbeats that this consumer wrote on silent partitions, and those that the broker did not take.",
        "`failed` rises: sessions there close only when clicks come; the log line says why.",
    ),
    MetricDefinition(
        "clickstream_forgotten_total",
        "sessions",
        (),
        "Open sessions that a record of type `forget` dropped, without a score.",
        "Rises and nobody asked for it: see who may write to the clicks topic.",
    ),
    MetricDefinition(
        "clickstream_sessions_closed_total",
        "sessions",
        ("closed_by",),
        "Windows closed, by what closed them; those of a replay that publishes nothing are not in it.",
        "`limit` rises: sessions are cut, by robots or a crowd; see max_clicks and max_open_sessions.",
    ),
    MetricDefinition(
        "clickstream_late_total",
        "clicks",
        (),
        "Late clicks counted into windows, when these closed; dead letters of reason `late` are not in it.",
        "A rising share of the clicks: senders are slow; a larger allowed_lateness takes more in order.",
    ),
    MetricDefinition(
        "clickstream_duplicates_total",
        "clicks",
        (),
        "Second copies of a click that were dropped, when their window closed.",
        "Rises: a sender repeats; harmless to the scores.",
    ),
    MetricDefinition(
        "clickstream_missing_total",
        "clicks",
        (),
        "Orders that were never seen between the first and the last of a window, when it closed.",
        "Rises: clicks are lost before they reach Kafka.",
    ),
    MetricDefinition(
        "clickstream_goals_without_visit_total",
        "sessions",
        (),
        "Closed sessions whose first click met a goal that is an event: it has no evidence, and no figure"
        " counts it. Mostly orders that another system reports after the visit has closed.",
        "A rising share of the conversions: orders come later than gap and allowed_lateness; report them"
        " sooner, or raise the gap.",
    ),
    MetricDefinition(
        "clickstream_keys_total",
        "sessions",
        ("partitioner",),
        "Closed sessions, the first twenty of each step, by the default partitioner that puts their key where"
        " it lies: murmur2 (Java, kafka-python), crc32 (librdkafka), both, or neither.",
        "`murmur2` and `crc32` both rise: producers disagree and tear sessions apart, see own clicks.",
    ),
    MetricDefinition(
        "clickstream_scores_total",
        "scores",
        (),
        "Scores committed to the scores topic, those of a former owner's outbox included.",
        "Stands still while the records rise: does event time move? `clickstream doctor` looks.",
    ),
    MetricDefinition(
        "clickstream_open_scores_total",
        "scores",
        ("reason",),
        "Open scores committed: for a condition that began to hold, or for the number of clicks alone.",
        "None although setting `open_scores` or `open_conditions` asks for some: look whether clicks come.",
    ),
    MetricDefinition(
        "clickstream_dead_letters_total",
        "records",
        ("reason",),
        "Records that could not be counted, committed to the dead letters.",
        "Rises: read the dead letters, each says why; the sender needs mending.",
    ),
    MetricDefinition(
        "clickstream_close_to_score_seconds",
        "seconds",
        (),
        "From reading the record that closed a session to its score being committed, in steps that succeed:"
        " what a recovery publishes waited longer, and is not in it.",
        "p99 above a second: the stage that takes the time is slow, often Kafka's transaction.",
        (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    ),
    MetricDefinition(
        "clickstream_lookups_total",
        "requests",
        ("status",),
        "Requests that the look-up answered, by HTTP status. Of `serve`, all of its workers.",
        "503 rises: Redis is away, or the rules are not those of the consumers; the answer says which.",
    ),
    MetricDefinition(
        "clickstream_lookup_seconds",
        "seconds",
        (),
        "From a request of the look-up to its answer.",
        "p99 above 0.05: more workers, or fewer lists of sessions.",
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
    ),
    MetricDefinition(
        "clickstream_open_sessions",
        "sessions",
        (),
        "Sessions open on the partitions of this consumer. Absent while it recovers.",
        "Rises without end: event time stands still, or the shop is crowded; about 400 bytes of Redis each.",
    ),
    MetricDefinition(
        "clickstream_lag_records",
        "records",
        (),
        "Records in the log that are not applied yet, on the partitions of this consumer, by the last fetch."
        " Absent while it recovers.",
        "Rises for long: more consumers, up to the number of partitions.",
    ),
    MetricDefinition(
        "clickstream_watermark_lag_seconds",
        "seconds",
        (),
        "Wall clock minus watermark, of the partition with open sessions that is furthest behind; in a replay"
        " the age of its calendar. Absent without open sessions.",
        "Grows as the clock does: event time stands still there, so nothing closes.",
    ),
    MetricDefinition(
        "clickstream_partitions",
        "partitions",
        ("state",),
        "Partitions of this consumer: served, replayed (nothing is published meanwhile), or refused.",
        "Any refused: a person must decide, the log line `not served` says what.",
    ),
    MetricDefinition(
        "clickstream_ready",
        "1",
        (),
        "1 while nothing keeps the loop from results and Kafka and Redis answer it; /readyz says what does.",
        "0 for minutes: ask /readyz for the reasons.",
    ),
    MetricDefinition(
        "clickstream_server_away_seconds",
        "seconds",
        ("server",),
        "How long Redis, or Kafka, has not answered this consumer, which asks every two seconds; 0: it does.",
        "Grows: see the server and the way to it. Nothing is lost, and nothing is scored meanwhile.",
    ),
    MetricDefinition(
        "clickstream_steps_total",
        "steps",
        (),
        "Polls that brought records, worked through.",
        "Nothing; records a step say how large a step is.",
    ),
    MetricDefinition(
        "clickstream_stage_seconds_total",
        "seconds",
        ("stage",),
        "Time of the loop by stage of a step; `publish` is the transaction, `poll` mostly waiting.",
        "Says where a slow step spends its time.",
    ),
    MetricDefinition(
        "clickstream_stage_runs_total",
        "runs",
        ("stage",),
        "Runs of the stage; once a step, or once a step and partition.",
        "Nothing; seconds a run say how long one takes.",
    ),
    MetricDefinition(
        "clickstream_redis_round_trips_total",
        "calls",
        (),
        "Scripts run in Redis.",
        "Nothing; about three a step and partition are usual.",
    ),
    MetricDefinition(
        "clickstream_transactions_total",
        "transactions",
        (),
        "Kafka transactions committed.",
        "Nothing; scores a transaction say what one is shared by.",
    ),
    MetricDefinition(
        "clickstream_transaction_failures_total",
        "transactions",
        (),
        "Transactions that are not known to be committed, those of recoveries included; a recovery follows.",
        "Rises again and again: the broker is away, or slower than `patience`.",
    ),
    MetricDefinition(
        "clickstream_recoveries_total",
        "recoveries",
        (),
        "Times that all partitions were dropped and recovered after a fault.",
        "Rises again and again: the log names the fault, mostly a server that is away.",
    ),
    MetricDefinition(
        "clickstream_fenced_total",
        "times",
        ("by",),
        "Times that work was refused because another owner has the partition or the name, by who refused it.",
        "Rises again and again: two processes with one --instance, or pauses beyond session_timeout.",
    ),
    MetricDefinition(
        "clickstream_claims_total",
        "claims",
        ("case",),
        "Partitions claimed, by what recovery found.",
        "`behind` or `rebuild` without a known loss of Redis: look at its persistence and eviction.",
    ),
    MetricDefinition(
        "clickstream_republished_total",
        "records",
        (),
        "Scores and dead letters that an owner had left in the outbox, published by its successor.",
        "Nothing; they follow a death between Redis and Kafka.",
    ),
    MetricDefinition(
        "clickstream_suppressed_total",
        "records",
        (),
        "Scores and dead letters made again in a replay and not published, as they were before.",
        "Nothing; they follow a loss of state in Redis.",
    ),
    MetricDefinition(
        "clickstream_bundle_info",
        "1",
        ("bundle",),
        "The bundle that scores.",
        "Differs between consumers for long: one did not take the promoted bundle, its log says why.",
    ),
    MetricDefinition(
        "clickstream_model_sessions",
        "sessions",
        ("window",),
        "Sessions with evidence that the figures of the window are over.",
        "Below a few hundred: do not read the figures yet.",
    ),
    MetricDefinition(
        "clickstream_model_log_loss",
        "nats",
        ("scorer", "window"),
        "Mean log-loss of the probability of conversion, by progressive validation; lower is better.",
        "Rolling above since_start for long: the shop has changed, train again.",
    ),
    MetricDefinition(
        "clickstream_model_auc",
        "1",
        ("scorer", "window"),
        "ROC-AUC of the probability of conversion, by progressive validation; absent while all converted or"
        " none.",
        "Rolling far below since_start: train again. `batch` below `online` for long: too.",
    ),
    MetricDefinition(
        "clickstream_model_revenue_mae",
        "currency of the prices",
        ("scorer", "window"),
        "Mean absolute error of the expected revenue, by progressive validation.",
        "Rises with the prices alone: compare it with their mean before training again.",
    ),
    MetricDefinition(
        "clickstream_model_same_cluster",
        "share",
        ("window",),
        "Share of sessions that `online` puts into the cluster of `batch`.",
        "Falls: behaviour moves away from the clusters of training; train again.",
    ),
    MetricDefinition(
        "clickstream_drift_total",
        "changes",
        ("feature",),
        "Changes of the mean of a watched feature or error that ADWIN found.",
        "Rises: the log line `drift` has the means before and after; look whether the shop or the tracking"
        " changed, then train again.",
    ),
    MetricDefinition(
        "clickstream_shadow_info",
        "1",
        ("bundle",),
        "The candidate that rides along: 1 while it does, 0 once it has failed. Absent without --shadow, as"
        " all metrics of a shadow.",
        "0: it rides no further, the log says why; scores are not touched.",
    ),
    MetricDefinition(
        "clickstream_shadow_failures_total",
        "sessions",
        (),
        "Sessions that the candidate could not score.",
        "Rises: do not promote it; the log says why.",
    ),
    MetricDefinition(
        "clickstream_shadow_sessions",
        "sessions",
        ("window",),
        "Sessions with evidence that the figures of the candidate are over.",
        "Below a few hundred: do not read the figures yet.",
    ),
    MetricDefinition(
        "clickstream_shadow_log_loss",
        "nats",
        ("scorer", "window"),
        "Mean log-loss of the candidate's probability of conversion, by progressive validation.",
        "Below clickstream_model_log_loss for long: compare both, and promote it.",
    ),
    MetricDefinition(
        "clickstream_shadow_auc",
        "1",
        ("scorer", "window"),
        "ROC-AUC of the candidate's probability of conversion; absent while all converted or none.",
        "Above clickstream_model_auc for long: compare both, and promote it.",
    ),
    MetricDefinition(
        "clickstream_shadow_revenue_mae",
        "currency of the prices",
        ("scorer", "window"),
        "Mean absolute error of the candidate's expected revenue.",
        "Below clickstream_model_revenue_mae for long: compare both, and promote it.",
    ),
)


class Distribution:
    """Values counted into the buckets of a definition; one thread adds, another reads."""

    def __init__(self, name: MetricName) -> None:
        (self._bounds,) = (one.buckets for one in DEFINITIONS if one.name == name)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count `value` so many times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def state(self) -> tuple[list[int], float]:
        """How many values lie in each bucket, and their sum."""
        return list(self._counts), self._sum

    def include(self, counts: Sequence[int], total: float) -> None:
        """Add the `state` of another distribution of this name."""
        self._counts = [own + other for own, other in zip(self._counts, counts, strict=True)]
        self._sum += total

    def cumulated(self) -> tuple[list[tuple[str, float]], float]:
        """(upper bound, values up to it) by bucket, and the sum, as the client library asks for them."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True)), self._sum


class Sample(NamedTuple):
    """A value; `labels` in the order of the definition."""

    name: MetricName
    value: float | Distribution
    labels: tuple[str, ...] = ()


SampleSource = Callable[[], Iterable[Sample]]
"""Gives samples when a scrape asks, on a thread of the server's."""
