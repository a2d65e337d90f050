"""The commands that look at a running system: tail, audit; on real servers, as processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import orjson
import pytest
from factory import click_json
from shop import Shop, plan_of

from clickstream.audit import run_audit
from clickstream.audit.verdict import EXIT_CODES
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Membership, OutgoingRecord, Producer, TransactionalProducer
from clickstream.infra.settings import Settings
from clickstream.local.processes import environment

pytestmark = pytest.mark.integration


COMMAND = (sys.executable, "-m", "clickstream")


def run(settings: Settings, *words: str) -> subprocess.CompletedProcess[bytes]:
    """A command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *words], env=environment(settings), capture_output=True, timeout=150, check=False
    )


def put_scores(settings: Settings, *values: bytes) -> None:
    """Records on the scores topic, all in partition 0."""
    producer = Producer(settings)
    for value in values:
        producer.send(settings.scores_topic, 0, b"key", value)
    producer.flush()
    producer.close()


@pytest.fixture
def topics(settings: Settings) -> Settings:
    prepare_topics(settings)
    return settings


@pytest.fixture
def following(topics: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A tail in a pipe that waits at the end of the topic."""
    put_scores(topics, b'{"score_id":"before"}')
    process = subprocess.Popen(
        [*COMMAND, "scores", "tail"],
        env=environment(topics),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.wait()


def test_topics_are_created_once_and_then_stay_as_they_are(settings: Settings) -> None:
    told = f"{settings.clicks_topic}: 3 partitions\n{settings.scores_topic}: 3 partitions\n"
    for words in (["--partitions", "3"], ["--partitions", "5"]):
        done = run(settings, "topics", *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode() == told + f"{settings.dead_letter_topic}: 1 partition\n"


def test_tail_in_a_pipe_gives_exactly_the_records_and_a_line_each(topics: Settings) -> None:
    values = [b'{"score_id": "a/1",  "x":1}', '{"score_id":"é"}'.encode(), b"no score"]
    put_scores(topics, *values)
    done = run(topics, "scores", "tail", "--until-end")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"".join(value + b"\n" for value in values)
    assert done.stderr == b""


def test_tail_stops_after_as_many_scores_as_it_is_told(topics: Settings) -> None:
    put_scores(topics, *(b'{"score_id":"%d"}' % n for n in range(20)))
    done = run(topics, "scores", "tail", "--from-beginning", "--max", "7")
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 7


def test_tail_shows_the_fields_it_is_asked_for_of_the_scores_that_pass(topics: Settings) -> None:
    put_scores(topics, b'{"score_id":"a/1","clicks":3}', b'{"score_id":"b/1","clicks":5}', b"no score")
    asked = ("--where", "clicks > 3", "--columns", "score_id,clicks,conversion")
    done = run(topics, "scores", "tail", "--until-end", *asked)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b'{"score_id":"b/1","clicks":5,"conversion":null}\n'
    done = run(topics, "scores", "tail", "--until-end", *asked, "--format", "tsv")
    assert done.stdout == b"score_id\tclicks\tconversion\nb/1\t5\t\n"


def test_tail_refuses_what_is_no_condition_before_it_asks_a_server(settings: Settings) -> None:
    done = run(settings, "scores", "tail", "--where", "conversoin > 0.8")
    assert done.returncode == 64
    assert b"no field `conversoin`, at character 1" in done.stderr
    assert b"^^^^^^^^^^" in done.stderr
    assert b"Traceback" not in done.stderr


def test_tail_of_a_topic_that_is_not_there_says_so(settings: Settings) -> None:
    done = run(settings, "scores", "tail")
    assert done.returncode == 69
    assert b"there is no topic" in done.stderr
    assert b"Traceback" not in done.stderr


def test_tail_follows_and_ends_quietly_at_ctrl_c(
    topics: Settings, following: subprocess.Popen[bytes]
) -> None:
    assert following.stdout is not None
    assert following.stderr is not None
    got = threading.Event()

    def send() -> None:
        """Until one has arrived: which is the first that it sees depends on when it is ready."""
        number = 0
        while not got.wait(0.3):
            put_scores(topics, b'{"score_id":"after %d"}' % number)
            number += 1

    sender = threading.Thread(target=send)
    sender.start()
    try:
        line = following.stdout.readline()
    finally:
        got.set()
        sender.join()
    assert orjson.loads(line)["score_id"].startswith("after")
    following.send_signal(signal.SIGINT)
    assert following.wait(60) == 0
    assert following.stderr.read() == b""


def test_tail_ends_quietly_when_its_reader_has_gone(following: subprocess.Popen[bytes]) -> None:
    assert following.stdout is not None
    assert following.stderr is not None
    following.stdout.close()
    # Without another score: nothing is written that could fail.
    assert following.wait(60) == 0
    assert following.stderr.read() == b""


def test_the_audit_ends_with_0_when_all_is_right_and_with_1_when_a_score_is_repeated(shop: Shop) -> None:
    shop.publish(plan_of(shop.settings, 60))
    consumer = shop.consumer()
    shop.drain(consumer)
    assert consumer.stop() == 0
    bundle = ("--bundle", shop.settings.bundle)

    done = run(shop.settings, "scores", "audit", *bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"60 sessions scored, 0 missing, 0 duplicate, 0 wrong  exactly once" in done.stdout

    score = shop.scores()[0]
    producer = Producer(shop.settings)
    source = score["source"]
    assert isinstance(source, dict)
    producer.send(
        shop.settings.scores_topic,
        source["partition"],
        str(score["session_id"]).encode(),
        orjson.dumps(score),
    )
    producer.flush()
    producer.close()

    done = run(shop.settings, "scores", "audit", *bundle)
    assert done.returncode == 1
    assert f"duplicate score {score['score_id']}" in done.stdout.decode()
    assert b"NOT CLEAN" in done.stdout

    done = run(shop.settings, "scores", "audit", "--json", *bundle)
    assert done.returncode == 1
    told = orjson.loads(done.stdout)
    assert (told["clean"], told["duplicate"], told["scored"]) == (False, 1, 60)
    assert told["predictions_checked"] == 60


def test_the_audit_sees_a_score_that_never_came(shop: Shop) -> None:
    """The group is made to believe that it has published what it has not."""
    shop.publish(plan_of(shop.settings, 30))
    consumer = shop.consumer()
    shop.drain(consumer)
    assert consumer.stop() == 0
    lost = shop.settings.model_copy(update={"scores_topic": f"{shop.settings.scores_topic}-lost"})
    prepare_topics(lost)
    report = run_audit(lost)
    assert (report.missing, report.scored, report.clean) == (30, 0, False)


def test_what_no_consumer_has_read_is_pending(shop: Shop) -> None:
    shop.publish(plan_of(shop.settings, 30))
    report = run_audit(shop.settings)
    assert report.verdict == "unchecked"
    assert (report.pending, report.scored) == (30, 0)
    done = run(shop.settings, "scores", "audit")
    assert done.returncode == EXIT_CODES["unchecked"] == 3
    assert b"UNCHECKED" in done.stdout
    assert "has no committed offset" in report.notes[0]


def test_an_open_transaction_is_not_seen_and_not_waited_for(shop: Shop) -> None:
    shop.publish(plan_of(shop.settings, 30))
    consumer = shop.consumer()
    shop.drain(consumer)
    assert consumer.stop() == 0

    def die() -> None:
        raise UnavailableError("killed before the commit")

    producer = TransactionalProducer(shop.settings, f"{shop.settings.group}-hanging")
    record = OutgoingRecord(shop.settings.scores_topic, 0, b"key", b"half a score")
    with pytest.raises(UnavailableError, match="killed"):
        producer.publish([record], shop.settings.clicks_topic, {}, Membership(1, None), die)
    began = time.monotonic()
    report = shop.audit()
    producer.discard()
    assert time.monotonic() - began < shop.settings.patience / 1000
    assert report.clean
    assert report.scored == 30


def test_the_audit_of_a_shop_at_work_is_clean_at_any_moment(shop: Shop) -> None:
    plan = plan_of(shop.settings, 400)
    consumers = [shop.consumer("one"), shop.consumer("two")]
    count = sum(1 for _ in plan.publications())
    reports = []
    for part in range(4):
        shop.publish(plan, after=part * count // 4, until=(part + 1) * count // 4)
        reports.append(shop.audit())
    shop.drain(*consumers)
    reports.append(shop.audit())
    for report in reports:
        assert not report.flawed, report
        assert report.clean or not report.scored, report
        assert report.windows == report.scored + report.pending
    assert reports[-1].scored == 400


def test_every_kind_of_refusal_and_a_session_of_strange_names_pass_the_audit(shop: Shop) -> None:
    at = 1_200_000_000_000
    names = ["a/1", "é\u2028", "x" * 256, "[red]", " "]
    for order, name in enumerate(names):
        value = click_json(session_id=name, event_time=at + order, price=1e9, product="ü" * 256)
        shop.send(0, name.encode(), value, at + order)
    shop.send(0, b"\xff\xfe", b"\x00", at)
    shop.send(0, b"empty", None, at)
    shop.send(0, b"big", b"{" + b" " * 70_000, at)
    shop.send(0, b"other", click_json(session_id="visit", event_time=at), at)
    shop.send(0, None, orjson.dumps({"type": "heartbeat", "event_time": at + 7_200_000}), at + 7_200_000)
    shop.send(0, b"visit", click_json(event_time=at), at)
    consumer = shop.consumer()
    shop.drain(consumer)
    assert consumer.stop() == 0
    report = shop.audit()
    assert report.clean, report.findings
    assert report.scored == len(names)
    assert {reason: letters.found for reason, letters in report.dead_letters.items()} == {
        "invalid": 1,
        "key-mismatch": 1,
        "late": 1,
        "not-json": 1,
        "too-large": 1,
    }
