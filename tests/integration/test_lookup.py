"""The look-up beside a consumer: its answers are those of the score that the session gets when it closes."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import orjson
import pytest
from certificates import Authority
from nginx import LOOKUP, needs_nginx, nginx
from shop import Shop, plan_of, stop, wait_for

from clickstream.features.shop_file import built_in
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.child import HOST, free_port
from clickstream.local.embedded import EmbeddedValkey
from clickstream.local.processes import Process, environment
from clickstream.lookup.server import tls_of
from clickstream.producer.synthetic_shop import SHOP, known_sessions

pytestmark = pytest.mark.integration

SESSIONS = 120
EXAMPLE = Path(__file__).parents[2] / "examples" / "act" / "look_up.py"
TOKEN = "a-token-of-thirty-two-characters"


class Client:
    """`clickstream serve` in a process of its own, and requests to it; by TLS where an authority is given."""

    def __init__(
        self, settings: Settings, folder: Path, *words: str, authority: Authority | None = None
    ) -> None:
        self._tls = None if authority is None else ssl.create_default_context(cafile=str(authority.file))
        self.port = free_port()
        serve = ["serve", "--port", str(self.port), *words]
        self.process = Process(serve, settings, folder / f"serve-{self.port}.log")
        wait_for(self._answers, "the look-up answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.process.last_words()
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def get(self, path: str, token: str | None = TOKEN, host: str = HOST) -> tuple[int, Any]:
        """Status and content of an answer."""
        connection = (
            http.client.HTTPConnection(HOST, self.port, timeout=30)
            if self._tls is None
            else http.client.HTTPSConnection(HOST, self.port, timeout=30, context=self._tls)
        )
        try:
            connection.request(
                "GET", path, headers={"Host": host} | ({"Authorization": f"Bearer {token}"} if token else {})
            )
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, orjson.loads(body) if body.startswith((b"{", b"[")) else body.decode()
        finally:
            connection.close()

    def session(self, session_id: str) -> tuple[int, Any]:
        """What is said of one session."""
        return self.get(f"/v1/sessions/{quote(session_id, safe='')}")


def records(shop: Shop, sessions: dict[str, list[Any]]) -> list[tuple[int, bytes, bytes, int]]:
    """Clicks of sessions that begin together, without the purchase: all of them are under way."""
    fields = [field.name for field in built_in(SHOP).fields]
    made = []
    for number, (session_id, clicks) in enumerate(sessions.items()):
        begun = clicks[0].event_time
        for click in clicks:
            if click.event == "purchase":
                break
            time = 1_700_000_000_000 + click.event_time - begun
            value = {"type": "click", "session_id": session_id, "event_time": time, "order": click.order}
            value |= {name: getattr(click, name) for name in fields}
            made.append((number % shop.topic.partitions, session_id.encode(), orjson.dumps(value), time))
    return sorted(made, key=lambda one: one[3])


def test_a_look_up_says_what_the_score_of_the_session_will_say_if_it_closes_now(
    own: Shop, tmp_path: Path
) -> None:
    known = known_sessions(SESSIONS, seed=9)
    # All within the gap of the first: none closes before it is looked at.
    short = {
        session_id: clicks
        for session_id, clicks in known.sessions.items()
        if clicks[-1].event_time - clicks[0].event_time < 20 * 60_000 and clicks[0].event != "purchase"
    }
    sent = records(own, short)
    own.send_all(sent)
    consumer = own.consumer()
    own.drain(consumer)
    own.settings = Settings(**{**own.settings.model_dump(), "lookup_token": TOKEN})
    client = Client(own.settings, tmp_path)
    looked_up = {}
    for session_id in short:
        status, found = client.session(session_id)
        assert status == 200, found
        looked_up[session_id] = found
        status, found = client.get(f"/v1/sessions/{quote(session_id, safe='')}?reasons=2")
        assert status == 200
        for scorer, why in found.pop("reasons").items():
            assert len(why["strongest"]) == 2
            total = why["base"] + sum(one["effect"] for one in why["strongest"]) + why["others"]
            assert total == pytest.approx(why["answer"], abs=1e-9), scorer
        # Asked for or not, they change nothing else.
        assert found == {name: value for name, value in looked_up[session_id].items() if name != "reasons"}

    # Hostile and unknown ids, tokens, and a page of the most likely.
    assert client.get("/v1/sessions", token=None)[0] == 401
    assert client.get("/v1/sessions", token="wrong")[0] == 401
    assert client.get("/v1/sessions", token="ä" * 10_000)[0] in (400, 401)
    for wrong in ("reasons=-1", "reasons=1e9", "reasons=x"):
        assert client.get(f"/v1/sessions/{next(iter(short))}?{wrong}")[0] == 422
    hostile = ("nobody", "{clicks:0}", "}:meta", "a\x00b", "ä/€", "*", "..", "\r\nX: y", "x" * 256)
    for unknown in hostile:
        assert client.session(unknown)[0] == 404
    status, refused = client.session("x" * 10_000)
    assert status == 422
    assert len(str(refused)) < 500
    status, page = client.get("/v1/sessions?limit=5&by=online")
    chances = [one["predictions"]["online"]["conversion"] for one in page["sessions"]]
    assert (len(chances), page["open"], page["considered"]) == (5, len(short), len(short))
    everyone = [one["predictions"]["online"]["conversion"] for one in looked_up.values()]
    assert chances == sorted(everyone, reverse=True)[:5]
    assert client.get("/readyz")[0] == 200
    assert 'clickstream_lookups_total{status="404"} 9.0' in client.get("/metrics/")[1]

    # The example asks as a page would.
    port = free_port()
    environ = os.environ | {
        "LOOK_UP_URL": f"http://{HOST}:{client.port}",
        "CLICKSTREAM_LOOKUP_TOKEN": TOKEN,
        "PORT": str(port),
    }
    example = subprocess.Popen([sys.executable, EXAMPLE], env=environ)

    def offer(session_id: str) -> Any:
        with urlopen(f"http://{HOST}:{port}/offer/{quote(session_id, safe='')}", timeout=30) as answer:
            return orjson.loads(answer.read())

    def listens() -> bool:
        with suppress(OSError):
            return bool(offer("nobody") == {"help": False})
        return False

    wait_for(listens, "the example answers")
    for session_id, found in looked_up.items():
        given = offer(session_id)
        assert given["help"] == (found["clicks"] >= 3 and found["predictions"]["batch"]["conversion"] < 0.2)
        assert len(given["because"]) == given["help"]

    end = sent[-1][3] + 7_200_000
    flush = orjson.dumps({"type": "heartbeat", "event_time": end, "flush": True})
    own.send_all((partition, None, flush, end) for partition in range(own.topic.partitions))
    own.drain(consumer)
    stop(consumer)
    scores: list[dict[str, Any]] = own.scores()
    assert {score["session_id"] for score in scores} == short.keys()
    asked_first = 0
    for score in scores:
        found = looked_up[score["session_id"]]
        for name in ("opened_at", "last_click_at", "clicks", "features", "shop"):
            assert found[name] == score[name], name
        assert found["predictions"]["batch"] == score["predictions"]["batch"]
        if score["models"]["lessons"] == found["models"]["lessons"]:
            asked_first += 1
            assert found["predictions"]["online"] == score["predictions"]["online"]
        assert found["models"]["bundle"] == score["models"]["bundle"]
    # The first of each partition that closed: what the online models learn changes what they say.
    assert asked_first == own.topic.partitions
    assert client.session(scores[0]["session_id"])[0] == 404
    assert offer(scores[0]["session_id"]) == {"help": False}
    example.kill()
    client.process.terminate()


@needs_nginx
def test_behind_nginx_the_same_is_answered_by_tls_and_what_is_not_for_others_is_not_there(
    shop: Shop, tmp_path: Path
) -> None:
    shop.settings = Settings(**{**shop.settings.model_dump(), "lookup_token": TOKEN})
    shop.publish(plan_of(shop.settings, 20), until=10)
    consumer = shop.consumer()
    shop.drain(consumer)
    client = Client(shop.settings, tmp_path)
    session_id = client.get("/v1/sessions")[1]["sessions"][0]["session_id"]
    authority = Authority(tmp_path / "certificates")
    tls = ssl.create_default_context(cafile=str(authority.file))
    with nginx(tmp_path / "nginx", authority, lookup=client.port) as port:

        def get(path: str, token: str = TOKEN) -> tuple[int, bytes]:
            with closing(http.client.HTTPSConnection(HOST, port, timeout=30, context=tls)) as connection:
                headers = {"Host": LOOKUP, "Authorization": f"Bearer {token}"}
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read()

        status, found = get(f"/v1/sessions/{session_id}")
        assert (status, orjson.loads(found)) == client.session(session_id)
        status, refused = get("/v1/sessions/a%2Fb%3F")
        assert (status, orjson.loads(refused)["error"]) == (404, "nothing is open of session 'a/b?'")
        assert get(f"/v1/sessions/{session_id}", token="another")[0] == 401
        assert get("/metrics/")[0] == 404
    stop(consumer)
    client.process.terminate()


def test_a_look_up_without_redis_says_so_and_answers_when_it_is_back(shop: Shop, tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as valkey:
        shop.settings = Settings(**{**shop.settings.model_dump(), "redis_url": valkey.url})
        shop.publish(plan_of(shop.settings, 20), until=10)
        consumer = shop.consumer()
        shop.drain(consumer)
        client = Client(shop.settings, tmp_path)
        _, page = client.get("/v1/sessions")
        session_id = page["sessions"][0]["session_id"]
        assert client.session(session_id)[0] == 200

        # Without a token a page that bound its own name to this address is not answered.
        assert client.get("/v1/sessions", host="shop.example")[0] == 400
        assert client.get("/v1/sessions", host="localhost:1")[0] == 200

        valkey.kill()
        wait_for(lambda: client.session(session_id)[0] == 503, "Redis is missed")
        for path in ("/v1/sessions", f"/v1/sessions/{session_id}"):
            status, refused = client.get(path)
            assert status == 503
            assert "Redis" in refused["error"]
        # No token is asked for there: which server is away, but not where it is.
        _, told = client.get("/readyz", token=None)
        assert told == {"ready": False, "reasons": ["Redis does not answer; the log says more"]}
        assert valkey.url.rpartition("/")[0].removeprefix("redis://") in client.process.log.read_text()
        assert client.get("/healthz")[0] == 200

        valkey.start()
        wait_for(lambda: client.get("/readyz")[0] == 200, "Redis is back")
        # What its last second held may be gone with it; that is the consumer's to rebuild.
        assert client.session(session_id)[0] in (200, 404)
        stop(consumer)
        client.process.terminate()


def test_a_look_up_beyond_this_machine_needs_a_token(settings: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clickstream", "serve", "--host", "0.0.0.0", "--port", str(free_port())],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 78
    assert "CLICKSTREAM_LOOKUP_TOKEN" in done.stderr


def test_a_key_of_another_certificate_is_refused_before_anything_listens(
    settings: Settings, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "certificates")
    one, other = authority.issue("one"), authority.issue("other")
    update = {"lookup_certificate_file": one.certificate, "lookup_key_file": other.key}
    with pytest.raises(ConfigurationError, match="does not belong to the certificate"):
        tls_of(settings.model_copy(update=update))
    with pytest.raises(ConfigurationError, match="lookup_certificate_file and lookup_key_file belong"):
        load_settings(lookup_key_file=other.key)


def children(pid: int) -> set[int]:
    """Processes that a process has started, as far as they are workers."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                found.add(int(status.parent.name))
    return found


def gone(pids: set[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")
def test_several_workers_answer_as_one_and_outlive_nobody(shop: Shop, tmp_path: Path) -> None:
    shop.settings = Settings(**{**shop.settings.model_dump(), "lookup_token": TOKEN})

    def lookups(client: Client) -> float:
        assert client.session("nobody")[0] == 404
        lines = client.get("/metrics/")[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if 'status="404"' in line)

    authority = Authority(tmp_path / "certificates")
    own = authority.issue("lookup")
    secured = ("--tls-cert", str(own.certificate), "--tls-key", str(own.key))
    several = ("--workers", "2", "--allow-host", "lookup")
    client = Client(shop.settings, tmp_path, *several, *secured, authority=authority)
    first = children(client.process.pid)
    assert len(first) == 2
    # A page that knows the token and bound its name to this address is not answered, by none of them.
    for host, expected in (("evil.example", 400), ("lookup:8700", 404), ("localhost:1", 404)):
        assert {client.get("/v1/sessions/nobody", host=host)[0] for _ in range(6)} == {expected}, host
    assert client.get("/metrics/", host="evil.example")[0] == 400
    assert client.session("nobody")[0] == 404
    assert client.get("/v1/sessions/nobody", token=None)[0] == 401

    # One is killed: another takes its place, the one that is left answers meanwhile, and no count falls.
    wait_for(lambda: lookups(client) >= 30, "thirty look-ups are counted")
    os.kill(min(first), signal.SIGKILL)
    before = lookups(client)
    assert before >= 30
    wait_for(lambda: len(children(client.process.pid) - first) == 1, "another worker is there")
    assert lookups(client) >= before

    # Asked to stop, all of them end in order; killed, none is left behind.
    second = children(client.process.pid)
    assert client.process.stop(60) == 0, client.process.last_words()
    assert gone(first | second)
    client = Client(shop.settings, tmp_path, "--workers", "2")
    orphans = children(client.process.pid)
    client.process.kill()
    wait_for(lambda: gone(orphans), "the workers are gone")
