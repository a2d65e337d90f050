"""What a client of Kafka must do for us, whichever it is, tried on a real broker.

Another client is one more subclass of `KafkaContract`, at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar

import confluent_kafka
import pytest
from log_damage import exchange, rot, segment
from shop import wait_for

from clickstream.consumer.clients import Clients, clients_of
from clickstream.consumer.ports import GroupClient, TransactionClient
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import FencedError, UnavailableError
from clickstream.infra.kafka import (
    Admin,
    CommittedOffset,
    DamagedBatchError,
    DeletedError,
    Membership,
    OutgoingRecord,
    Producer,
    Reader,
    Record,
    partition_for,
)
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.embedded import EmbeddedKafka

pytestmark = pytest.mark.integration

ALL = frozenset(range(4))
NOBODY = Membership(-1, None)
"""For transactions without offsets: nothing of it is looked at."""


class Crash(Exception):
    """The process ends within a transaction."""


def crash() -> None:
    raise Crash


class Slowly(list[OutgoingRecord]):
    """Records of a process that comes to little: between two of them the broker's answers come in."""

    def __iter__(self) -> Iterator[OutgoingRecord]:
        for record in super().__iter__():
            yield record
            time.sleep(0.02)


class Stage:
    """A clicks topic of four partitions, and who reads and writes there."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self.settings = settings.model_copy(update={"partitions": len(ALL)})
        self.topic = prepare_topics(self.settings).name
        self._clients = clients
        self._members: list[GroupClient] = []
        self._writers: list[TransactionClient] = []

    def member(self, rules: str = "", **changes: Any) -> GroupClient:
        """One more member of the group, with `changes` of the settings."""
        made = self._clients.group(self.settings.model_copy(update=changes), self.topic, rules)
        self._members.append(made)
        return made

    def writer(self, name: str = "writer") -> TransactionClient:
        """Takes a transactional id."""
        made = self._clients.transactions(self.settings, f"{self.settings.group}-{name}")
        self._writers.append(made)
        return made

    def joined(self, *members: GroupClient) -> None:
        """All of these are members and share the partitions; nothing was delivered meanwhile."""

        asked_at = time.monotonic()

        def shared() -> bool:
            nonlocal asked_at
            for member in members:
                assert member.poll(100, 100) == {}
            if time.monotonic() - asked_at > 10:
                # A group can be settled with partitions that nobody has, see consumer/coverage.py.
                asked_at = time.monotonic()
                for member in members:
                    member.rejoin()
            parts = [member.assignment() for member in members]
            whole = frozenset().union(*parts) == ALL and sum(map(len, parts)) == len(ALL)
            return whole and all(parts) and all(member.membership() for member in members)

        wait_for(shared, "they share the partitions")

    def started(self, *partitions: int) -> GroupClient:
        """The only member, reading `partitions` from their beginning."""
        member = self.member()
        self.joined(member)
        for partition in partitions:
            member.start(partition, 0)
        return member

    def write(self, partition: int, *values: bytes | None) -> None:
        """Records outside of transactions, each a batch, acknowledged."""
        with closing(Producer(self.settings)) as producer:
            for value in values:
                producer.send(self.topic, partition, None, value)
                producer.flush()

    def to(self, partition: int, *values: bytes) -> list[OutgoingRecord]:
        """Records for a transaction to write to the clicks topic."""
        return [OutgoingRecord(self.topic, partition, None, value) for value in values]

    def scores(self, committed_only: bool = True) -> int:
        """How many offsets there are on the scores topic."""
        with closing(Reader(self.settings, self.settings.scores_topic, committed_only)) as reader:
            return sum(reader.end_offsets().values())

    def committed(self) -> Mapping[int, CommittedOffset]:
        """The group's offsets, by an administrator's look."""
        with closing(Admin(self.settings)) as admin:
            return admin.group_offsets(self.settings.group, self.topic)

    def close(self) -> None:
        """End all, and do not mind how."""
        for member in self._members:
            member.close()
        for writer in self._writers:
            writer.discard()


def read(
    member: GroupClient, records: int, most: int = 100, beside: GroupClient | None = None
) -> list[Record]:
    """Poll until as many came, at `most` so many at once; `beside` is polled too, and gets none."""
    found: list[Record] = []

    def enough() -> bool:
        # A rebalance goes on for as long as one of them is to join again.
        assert beside is None or beside.poll(100, most) == {}
        polled = member.poll(100, most)
        assert sum(map(len, polled.values())) <= most
        for partition, part in polled.items():
            assert {record.partition for record in part} == {partition}
            found.extend(part)
        return len(found) >= records

    wait_for(enough, f"{records} records, have {len(found)}")
    assert len(found) == records
    return found


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


def values(records: Sequence[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def within(seconds: float, call: Callable[[], object]) -> None:
    """It must raise that a server is away, and in time."""
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        call()
    assert time.monotonic() - began < seconds


class KafkaContract:
    """Subclass it, and say which `client` is meant."""

    client: ClassVar[str]

    def clients(self) -> Clients:
        return clients_of(Settings(kafka_client=self.client))

    @pytest.fixture
    def stage(self, settings: Settings) -> Iterator[Stage]:
        made = Stage(self.clients(), settings)
        yield made
        made.close()

    # Delivery

    def test_what_is_assigned_is_held_until_it_is_started(self, stage: Stage) -> None:
        stage.write(0, b"held")
        stage.write(1, b"wanted")
        member = stage.member()
        stage.joined(member)
        member.start(1, 0)
        assert values(read(member, 1)) == [b"wanted"]
        member.start(0, 0)
        assert values(read(member, 1)) == [b"held"]

    def test_records_come_in_offset_order_from_the_offset_that_is_started_at(self, stage: Stage) -> None:
        stage.write(0, *(b"%d" % number for number in range(9)))
        member = stage.started()
        member.start(0, 4)
        assert offsets(read(member, 5, most=2)) == [4, 5, 6, 7, 8]
        # As after a step that ended early: also back, to what was delivered.
        member.start(0, 2)
        assert offsets(read(member, 7, most=3)) == [2, 3, 4, 5, 6, 7, 8]

    def test_what_is_held_delivers_nothing_not_even_what_was_fetched_before(self, stage: Stage) -> None:
        stage.write(0, b"a", b"b", b"c")
        member = stage.started(0)
        assert values(read(member, 1, most=1)) == [b"a"]
        member.hold([0])
        stage.write(1, b"d")
        member.start(1, 0)
        assert values(read(member, 1)) == [b"d"]
        member.start(0, 1)
        assert values(read(member, 2)) == [b"b", b"c"]

    def test_a_record_is_as_it_was_sent(self, stage: Stage) -> None:
        sent: list[tuple[bytes | None, bytes | None, int, list[tuple[str, bytes]]]] = [
            (b"key", b"value", 1_218_600_000_000, [("trace", b"\x00\xff"), ("trace", b"")]),
            (None, b"", 1_218_600_000_001, []),
            (b"", None, 1_218_600_000_002, []),
        ]
        with closing(Producer(stage.settings)) as producer:
            for key, value, timestamp, headers in sent:
                producer.send(stage.topic, 2, key, value, timestamp, headers)
            producer.flush()
        found = read(stage.started(2), 3)
        assert [(r.key, r.value, r.timestamp, list(r.headers)) for r in found] == sent
        assert {(record.topic, record.partition) for record in found} == {(stage.topic, 2)}

    @pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
    def test_a_batch_of_every_codec_is_delivered(self, stage: Stage, codec: str) -> None:
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": stage.settings.kafka_bootstrap, "compression.type": codec, "linger.ms": 50}
        )
        for _ in range(20):
            producer.produce(stage.topic, b"a click, and again a click " * 9, partition=3)
        assert producer.flush(20) == 0
        assert offsets(read(stage.started(3), 20)) == list(range(20))

    def test_what_is_left_to_read_is_known_once_something_was_fetched(self, stage: Stage) -> None:
        stage.write(0, b"a", b"b", b"c")
        member = stage.started()
        assert (member.end(0), member.lag(0)) == (None, None)
        assert member.log_range(0) == (0, 3)
        member.start(0, 0)
        read(member, 1, most=1)
        assert (member.end(0), member.lag(0)) == (3, 2)
        read(member, 2)
        assert (member.end(0), member.lag(0)) == (3, 0)

    def test_nothing_is_left_to_read_where_a_transaction_s_marker_is_the_last(self, stage: Stage) -> None:
        member = stage.started(0)
        stage.writer().publish(stage.to(0, b"a"), stage.topic, {}, NOBODY, lambda: None)
        read(member, 1)
        wait_for(lambda: not member.poll(100, 100) and member.lag(0) == 0, "all of it was read")
        assert member.end(0) == 2
        stage.write(0, b"b")
        assert offsets(read(member, 1)) == [2]

    # What cannot be read

    @pytest.mark.parametrize("offset", [3, 1_000])
    def test_an_offset_that_the_log_does_not_hold_is_named_and_the_others_go_on(
        self, stage: Stage, offset: int
    ) -> None:
        stage.write(0, b"a", b"b")
        stage.write(1, b"c", b"d")
        member = stage.started(1)
        member.start(0, offset)
        error, others = self.until_refused(member, 2)
        assert isinstance(error, DeletedError)
        assert (error.partition, error.offset) == (0, offset)
        assert values(others) == [b"c", b"d"]
        # It is held from there on, and asks for nothing.
        stage.write(1, b"e")
        assert values(read(member, 1)) == [b"e"]
        member.start(0, 0)
        assert values(read(member, 2)) == [b"a", b"b"]

    def test_a_damaged_batch_is_named_after_what_comes_before_it_and_the_others_go_on(
        self, stage: Stage, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        stage.write(0, b"before", b"damaged")
        rot(segment(stage.topic, 0, tmp_path_factory.getbasetemp()))
        stage.write(0, b"behind")
        stage.write(1, b"c", b"d")
        member = stage.started(0, 1)
        error, others = self.until_refused(member, 3)
        assert isinstance(error, DamagedBatchError)
        assert (error.partition, error.offset) == (0, 1)
        assert "offsets 1 to 1" in error.what
        assert "behind the batch (2)" in error.remedy
        assert {(r.partition, r.offset) for r in others} == {(0, 0), (1, 0), (1, 1)}
        stage.write(1, b"e")
        assert values(read(member, 1)) == [b"e"]

    def test_a_header_that_is_not_text_is_named_as_a_damaged_batch(
        self, stage: Stage, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        producer = confluent_kafka.Producer({"bootstrap.servers": stage.settings.kafka_bootstrap})
        producer.produce(stage.topic, b"value", partition=0, headers=[("trace", b"1")])
        assert producer.flush(20) == 0
        exchange(segment(stage.topic, 0, tmp_path_factory.getbasetemp()), b"trace", b"tr\xffce")
        stage.write(1, b"c")
        error, others = self.until_refused(stage.started(0, 1), 1)
        assert isinstance(error, DamagedBatchError)
        assert (error.partition, error.offset) == (0, 0)
        assert values(others) == [b"c"]

    @staticmethod
    def until_refused(
        member: GroupClient, records: int
    ) -> tuple[DeletedError | DamagedBatchError, list[Record]]:
        """The one error, and as many records, in whichever order they come."""
        errors: list[DeletedError | DamagedBatchError] = []
        found: list[Record] = []

        def done() -> bool:
            try:
                for part in member.poll(100, 100).values():
                    found.extend(part)
            except (DeletedError, DamagedBatchError) as error:
                errors.append(error)
            return bool(errors) and len(found) >= records

        wait_for(done, "it is refused")
        (error,) = errors
        assert len(found) == records
        return error, found

    # The group

    def test_it_is_no_member_before_its_first_poll_and_gets_all_when_it_is_alone(self, stage: Stage) -> None:
        member = stage.member()
        assert member.membership() is None
        stage.joined(member)
        assert member.newly_assigned() == ALL
        assert member.newly_assigned() == frozenset()
        assert member.partitions() == len(ALL)

    def test_what_another_member_leaves_is_assigned_anew_and_held(self, stage: Stage) -> None:
        first = stage.started(*ALL)
        assert first.newly_assigned() == ALL
        second = stage.member()
        stage.joined(first, second)
        given = second.assignment()
        assert second.newly_assigned() == given
        # What was kept is not new, and goes on.
        assert first.newly_assigned() == frozenset()
        for partition in ALL:
            stage.write(partition, b"%d" % partition)
        kept = first.assignment()
        assert {record.partition for record in read(first, len(kept), beside=second)} == kept
        second.close()
        stage.joined(first)
        assert first.newly_assigned() == given
        for partition in given:
            first.start(partition, 0)
        assert {record.partition for record in read(first, len(given))} == given

    def test_a_settled_group_is_assigned_anew_when_all_ask_for_it(self, stage: Stage) -> None:
        members = [stage.member(), stage.member()]
        stage.joined(*members)
        before = [member.membership() for member in members]
        for member in members:
            member.rejoin()

        def anew() -> bool:
            for member in members:
                member.poll(100, 100)
            now = [member.membership() for member in members]
            return all(now) and all(m != b for m, b in zip(now, before, strict=True))

        wait_for(anew, "a new generation")
        stage.joined(*members)

    def test_it_leaves_the_group_at_once_and_a_static_one_too(self, stage: Stage) -> None:
        for instance in (None, "one"):
            member = stage.member(instance=instance, session_timeout=120_000)
            stage.joined(member)
            member.close()
            # Nobody waits for a session timeout.
            stage.joined(heir := stage.member())
            heir.close()

    def test_another_process_of_the_same_name_takes_over_and_is_not_taken_out(self, stage: Stage) -> None:
        former = stage.member(instance="one")
        stage.joined(former)
        latter = stage.member(instance="one")

        def fenced() -> bool:
            latter.poll(100, 100)
            try:
                former.poll(100, 100)
                former.membership()
            except FencedError:
                return True
            return False

        wait_for(fenced, "the former is told")
        stage.joined(latter)
        before = latter.membership()
        former.close(False)
        with closing(Admin(stage.settings)) as admin:
            assert admin.group_members(stage.settings.group) == 1
        stage.joined(latter)
        assert latter.membership() == before

    def test_the_group_s_description_carries_its_rules_and_partitions(self, stage: Stage) -> None:
        member = stage.member("gap=1800000;fold=1", instance="one")
        stage.joined(member)
        with closing(Admin(stage.settings)) as admin:
            (described,) = admin.group_state(stage.settings.group, stage.topic).members
        assert described == ("one", tuple(sorted(ALL)), "gap=1800000;fold=1")

    # Transactions

    def test_records_and_offsets_are_there_together_and_not_before(self, stage: Stage) -> None:
        stage.write(0, b"a", b"b")
        member, writer = stage.started(), stage.writer()
        membership = member.membership()
        assert membership is not None
        assert member.committed(0, 5_000) is None
        looked = []

        def look() -> None:
            looked.append(stage.scores())
            # Each is acknowledged by then, and an open transaction has no stable answer.
            assert stage.scores(committed_only=False) == 8
            with pytest.raises(UnavailableError):
                member.committed(0, 300)

        records = [OutgoingRecord(stage.settings.scores_topic, n % len(ALL), None, b"{}") for n in range(8)]
        writer.publish(records, stage.topic, {0: CommittedOffset(2, "a note")}, membership, look)
        assert looked == [0]
        assert member.committed(0, 5_000) == CommittedOffset(2, "a note")
        assert member.committed(1, 5_000) is None
        wait_for(lambda: stage.scores() >= 8, "the scores are there")

    def test_of_an_abandoned_transaction_nothing_is_there(self, stage: Stage) -> None:
        member, writer = stage.started(0), stage.writer()
        membership = member.membership()
        assert membership is not None
        with pytest.raises(Crash):
            writer.publish(
                stage.to(0, b"lost"), stage.topic, {0: CommittedOffset(1, "lost")}, membership, crash
            )
        writer.discard()
        # Whoever takes the id has settled it: no wait for a timeout.
        stage.writer().publish(stage.to(0, b"kept"), stage.topic, {}, NOBODY, lambda: None)
        assert values(read(member, 1)) == [b"kept"]
        assert member.committed(0, 5_000) is None

    def test_records_of_an_open_transaction_are_not_delivered(self, stage: Stage) -> None:
        member = stage.started(0, 1)

        def look() -> None:
            stage.write(1, b"meanwhile")
            assert values(read(member, 1)) == [b"meanwhile"]

        stage.writer().publish(stage.to(0, b"later"), stage.topic, {}, NOBODY, look)
        assert values(read(member, 1)) == [b"later"]

    def test_whoever_takes_the_id_fences_the_former_owner(self, stage: Stage) -> None:
        member, former = stage.started(0), stage.writer()
        latter = stage.writer()
        with pytest.raises(FencedError):
            former.publish(stage.to(0, b"former"), stage.topic, {}, NOBODY, lambda: None)
        latter.publish(stage.to(0, b"latter"), stage.topic, {}, NOBODY, lambda: None)
        assert values(read(member, 1)) == [b"latter"]

    def test_an_owner_that_learns_it_between_two_records_is_fenced_all_the_same(self, stage: Stage) -> None:
        former = stage.writer()
        stage.writer()
        with pytest.raises(FencedError):
            former.publish(Slowly(stage.to(0, b"former") * 50), stage.topic, {}, NOBODY, lambda: None)

    def test_an_owner_that_is_fenced_within_a_transaction_commits_nothing(self, stage: Stage) -> None:
        member, former = stage.started(0), stage.writer()

        def take_over() -> None:
            stage.writer()

        with pytest.raises(FencedError):
            former.publish(stage.to(0, b"former"), stage.topic, {}, NOBODY, take_over)
        stage.write(0, b"after")
        assert values(read(member, 1)) == [b"after"]

    def test_a_former_membership_is_refused_with_all_that_it_publishes(self, stage: Stage) -> None:
        first = stage.started(0)
        former = first.membership()
        assert former is not None
        stage.joined(first, stage.member())
        now = first.membership()
        assert now is not None
        assert now.generation > former.generation
        writer = stage.writer()
        with pytest.raises(UnavailableError):
            writer.publish(
                stage.to(3, b"zombie"), stage.topic, {0: CommittedOffset(7, "")}, former, lambda: None
            )
        writer.discard()
        stage.writer().publish(
            stage.to(3, b"owner"), stage.topic, {0: CommittedOffset(5, "")}, now, lambda: None
        )
        assert stage.committed() == {0: CommittedOffset(5, "")}
        with closing(Reader(stage.settings, stage.topic)) as reader:
            found = [r for batch in reader.read_to(reader.decided_ends().offsets) for r in batch]
        assert values(found) == [b"owner"]

    def test_a_record_that_cannot_be_published_takes_the_others_with_it(self, stage: Stage) -> None:
        member = stage.started(0)
        for refused in (
            OutgoingRecord(stage.topic, 0, None, b"x" * 3_000_000),
            OutgoingRecord(stage.topic, len(ALL) + 3, None, b"nowhere"),
            OutgoingRecord(f"no-{stage.topic}", 0, None, b"nowhere"),
        ):
            writer = stage.writer()
            with pytest.raises(UnavailableError):
                writer.publish([*stage.to(0, b"lost"), refused], stage.topic, {}, NOBODY, lambda: None)
            writer.discard()
        stage.writer().publish(stage.to(0, b"kept"), stage.topic, {}, NOBODY, lambda: None)
        assert values(read(member, 1)) == [b"kept"]

    def test_a_transaction_larger_than_a_request_is_published_whole(self, stage: Stage) -> None:
        member = stage.started(0)
        many = [b"%05d" % number * 20 for number in range(30_000)]
        stage.writer().publish(stage.to(0, *many), stage.topic, {}, NOBODY, lambda: None)
        assert values(read(member, len(many), most=5_000)) == many

    def test_a_key_goes_where_the_java_client_puts_it(self, stage: Stage) -> None:
        keys = [b"visit-%d" % number for number in range(20)]
        records = [OutgoingRecord(stage.topic, None, key, b"{}") for key in keys]
        writer = stage.writer()
        assert writer.partitions(stage.topic) == len(ALL)
        writer.publish(records, stage.topic, {}, NOBODY, lambda: None)
        found = read(stage.started(*ALL), len(keys))
        assert {(record.key, record.partition) for record in found} == {
            (key, partition_for(key, len(ALL))) for key in keys
        }

    # A broker that is away

    def test_a_broker_that_is_not_there_is_named_in_time(self, settings: Settings) -> None:
        away = settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{free_port()}", "patience": 1_000})
        within(20, lambda: self.clients().group(away, "clicks", ""))
        within(20, lambda: self.clients().transactions(away, "writer"))

    def test_a_broker_that_goes_away_hangs_nothing(self, settings: Settings, tmp_path: Path) -> None:
        with EmbeddedKafka(tmp_path / "kafka") as kafka:
            stage = Stage(
                self.clients(),
                settings.model_copy(update={"kafka_bootstrap": kafka.bootstrap, "patience": 4_000}),
            )
            member, writer = stage.started(0), stage.writer()
            membership = member.membership()
            assert membership is not None
            kafka.kill()
            began = time.monotonic()
            with suppress(UnavailableError):
                assert member.poll(100, 100) == {}
            within(20, lambda: member.committed(0, 1_000))
            within(30, lambda: member.log_range(0))
            within(
                30,
                lambda: writer.publish(
                    stage.to(0, b"lost"), stage.topic, {0: CommittedOffset(1, "")}, membership, lambda: None
                ),
            )
            writer.discard()
            member.close()
            assert time.monotonic() - began < 90


class TestKafkaPython(KafkaContract):
    """The default."""

    client = "kafka-python"


class TestConfluentKafka(KafkaContract):
    """That of the extra `fast`."""

    client = "confluent-kafka"


@pytest.mark.parametrize("first", ["kafka-python", "confluent-kafka"])
def test_members_of_one_group_may_have_different_clients(settings: Settings, first: str) -> None:
    """So that a group can be moved from one to the other, a member at a time; whoever leads it."""
    other = "confluent-kafka" if first == "kafka-python" else "kafka-python"
    stage, beside = (Stage(clients_of(Settings(kafka_client=name)), settings) for name in (first, other))
    try:
        one = stage.started(*ALL)
        two = beside.member()
        stage.joined(one, two)
        for partition in two.assignment():
            two.start(partition, 0)
        for partition in ALL:
            stage.write(partition, b"%d" % partition)
        found: set[int] = set()

        def all_read() -> bool:
            for member in (one, two):
                found.update(member.poll(100, 100))
            return found == ALL

        wait_for(all_read, "both read their part")
        membership = two.membership()
        assert membership is not None
        (partition, *_) = two.assignment()
        note = CommittedOffset(1, '{"open":3}')
        beside.writer().publish([], stage.topic, {partition: note}, membership, lambda: None)
        one.close()
        stage.joined(two)
        assert stage.committed() == {partition: note}
        assert two.committed(partition, 5_000) == note
    finally:
        stage.close()
        beside.close()
