"""Who writes: producers that disagree where a session belongs, and groups that write one topic of scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

from clickstream.consumer.note import read_note
from clickstream.infra.kafka import Admin, Reader, Record, Topic
from clickstream.infra.placement import Partitioner, partitioner_of
from clickstream.infra.settings import Settings
from clickstream.operate.doctor.check import Check
from clickstream.records.reading import is_forget, read_score

_LAST = 500
"""Records of each partition that are read."""

_ONE_PARTITIONER = (
    "Give every producer the same one, for Kafka's own clients murmur2: docs/own-clicks.md has the settings."
)


def check_keys(settings: Settings, clicks: Topic) -> Iterator[Check]:
    """Check that the last keys of the clicks topic lie where one default partitioner puts them."""
    keys = {(r.key, r.partition) for r in _last(settings, clicks.name) if r.key and not is_forget(r.value)}
    if not keys or clicks.partitions == 1:
        return
    found: Counter[Partitioner] = Counter(partitioner_of(key, p, clicks.partitions) for key, p in keys)
    where = f"of the last {len(keys):,} keys on {clicks.name},"
    torn = [key for key, partitions in Counter(key for key, _ in keys).items() if partitions > 1]
    if torn:
        yield Check(
            "producers",
            "fail",
            f"{where} {len(torn):,} lie on more than one partition, as {torn[0]!r}: their sessions are torn,"
            " and each part is scored by itself",
            _ONE_PARTITIONER,
        )
    elif found["murmur2"] and found["crc32"]:
        yield Check(
            "producers",
            "fail",
            f"{where} {found['murmur2']:,} lie where only murmur2 puts them (Java, kafka-python) and"
            f" {found['crc32']:,} where only CRC32 does (librdkafka): a session that both write is torn",
            _ONE_PARTITIONER,
        )
    elif found["neither"]:
        yield Check(
            "producers",
            "warn",
            f"{where} {found['neither']:,} lie where no default partitioner puts them: nobody can tell here"
            " whether all producers agree",
            "Make sure that they do, or that the number of partitions was not changed.",
        )
    elif found["crc32"]:
        yield Check(
            "producers",
            "warn",
            f"{where} all lie where CRC32 puts them (librdkafka), which Java, kafka-python and `clickstream"
            " replay` do not agree with",
            "Well while all producers are librdkafka's. Else: partitioner=murmur2_random for those.",
        )
    else:
        yield Check("producers", "ok", f"{where} all lie where murmur2 puts them, Kafka's own partitioner")


def check_other_groups(settings: Settings, admin: Admin, clicks: Topic) -> Iterator[Check]:
    """Check whether another group scores the same clicks, and perhaps onto the same topic."""
    others = [
        group
        for group, offsets in admin.offsets_of_all_groups(clicks.name).items()
        if group != settings.group and any(read_note(committed) for committed in offsets.values())
    ]
    if not others:
        return
    names = ", ".join(sorted(others))
    twice = _scored_twice(settings)
    if twice:
        yield Check(
            "group",
            "fail",
            f"group {names} scores {clicks.name} too, and {twice:,} of the last scores on"
            f" {settings.scores_topic} are there twice: both write to it",
            "Give each group a scores topic of its own (CLICKSTREAM_SCORES_TOPIC), or stop one of them.",
        )
    else:
        yield Check(
            "group",
            "info",
            f"group {names} scores {clicks.name} too, and no score of {settings.scores_topic} is there twice",
        )


def _scored_twice(settings: Settings) -> int:
    names: Counter[str] = Counter()
    for record in _last(settings, settings.scores_topic):
        if (score := read_score(record.value)) is not None:
            names[f"{score['score_id']} {score.get('source')}"] += 1
    return sum(count > 1 for count in names.values())


def _last(settings: Settings, topic: str) -> Iterator[Record]:
    """The last records of each partition of a topic."""
    with closing(Reader(settings, topic)) as reader:
        begin, end = reader.beginning_offsets(), reader.end_offsets()
        for partition, offset in end.items():
            reader.seek(partition, max(begin[partition], offset - _LAST))
        for batch in reader.read_to(end):
            yield from batch
