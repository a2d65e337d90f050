"""Redis (or Valkey), with every wait bounded and every failure one of our errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from clickstream.infra.errors import ConfigurationError, RefusedError, UnavailableError
from clickstream.infra.reach import absence
from clickstream.infra.settings import Settings


class WrongTypeError(RefusedError):
    """A key holds a value of another type than its name promises: somebody else wrote it."""


def address(settings: Settings) -> str:
    """The server's host and port, without the password."""
    if settings.redis_url is None:
        return "nowhere"
    try:
        parts = urlsplit(settings.redis_url.get_secret_value())
        return f"{parts.hostname or parts.path}:{parts.port or 6379}"
    except ValueError:
        # An unescaped character in the password; the message of the error would show a piece of it.
        return "the address in CLICKSTREAM_REDIS_URL"


def _absence(settings: Settings) -> tuple[str, str]:
    if settings.redis_url is not None:
        try:
            parts = urlsplit(settings.redis_url.get_secret_value())
            if parts.hostname:
                return absence(parts.hostname, parts.port or 6379, "Redis", "CLICKSTREAM_REDIS_URL")
        except ValueError:
            pass
    return "it cannot be reached", "Check that it runs and that CLICKSTREAM_REDIS_URL names it."


@contextmanager
def translated(doing: str, settings: Settings) -> Iterator[None]:
    """Turn the errors of the Redis client into ours."""
    where = f"Redis at {address(settings)}"
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise ConfigurationError(
            f"{doing}: {where} refused the credentials ({error})",
            "Check the user and the password in CLICKSTREAM_REDIS_URL (redis://user:password@host:port/0).",
        ) from error
    except redis.OutOfMemoryError as error:
        raise UnavailableError(
            f"{doing}: {where} is out of memory ({error})",
            "Raise its maxmemory (policy noeviction), or lower the number of open sessions. Nothing is lost.",
        ) from error
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ClusterDownError, OSError) as error:
        what, remedy = _absence(settings)
        raise UnavailableError(
            f"{doing}: {where} does not answer: {what} ({error})",
            f"{remedy} A running consumer goes on by itself.",
        ) from error
    except redis.ResponseError as error:
        text = str(error)
        if "invalid username-password" in text or "WRONGPASS" in text or "NOAUTH" in text:
            raise ConfigurationError(
                f"{doing}: {where} refused the credentials ({error})",
                "Check the user and the password in CLICKSTREAM_REDIS_URL.",
            ) from error
        if text.startswith(("LOADING", "MASTERDOWN", "READONLY", "TRYAGAIN", "BUSY")):
            raise UnavailableError(
                f"{doing}: {where} is not ready ({error})", "It usually is soon."
            ) from error
        if "WRONGTYPE" in text:
            raise WrongTypeError(f"{doing}: a key in {where} is of another type ({error})") from error
        raise RefusedError(f"{doing}: {where} refused the command ({error})") from error
    except redis.RedisError as error:
        raise UnavailableError(f"{doing}: {where} failed ({error})") from error


def connect(settings: Settings) -> Any:
    """A client that has been answered once.

    Raises:
        UnavailableError: nobody answers.
        ConfigurationError: no URL, a malformed URL, or a wrong password.
    """
    if settings.redis_url is None:
        raise ConfigurationError(
            "no Redis is named and no embedded one runs",
            "Start one with `clickstream up`, or set CLICKSTREAM_REDIS_URL to redis://host:port/0.",
        )
    url = settings.redis_url.get_secret_value()
    # A retry of the client's could repeat a write whose answer was lost; our scripts decide about that.
    options: dict[str, Any] = {
        "socket_timeout": min(5.0, settings.patience / 1000),
        "socket_connect_timeout": 2.0,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }
    with translated("connecting", settings):
        try:
            if settings.redis_cluster:
                client: Any = RedisCluster.from_url(url, **options)
            else:
                client = redis.Redis.from_url(url, protocol=2, **options)
        except ValueError:
            raise ConfigurationError(
                "CLICKSTREAM_REDIS_URL is malformed",
                "Write it as redis://[user:password@]host:port/0, with / : @ of the password as %2F %3A %40.",
            ) from None
        client.ping()
    return client


def evicting(client: Any) -> str | None:
    """The policy by which a full server deletes keys; None: it does not, or is not known to."""
    try:
        found = client.info("memory")
    except redis.RedisError:
        return None
    # A cluster answers by node.
    answers = found.values() if found and all(isinstance(one, dict) for one in found.values()) else [found]
    policies = (str(one.get("maxmemory_policy", "noeviction")) for one in answers)
    return next((policy for policy in policies if policy != "noeviction"), None)


Call = tuple[Sequence[str], Sequence[Any]]
"""Keys and arguments of a script."""


class Script:
    """A Lua script, run by its hash and loaded again where a restarted server forgot it."""

    def __init__(self, client: Any, source: str) -> None:
        self._client = client
        self._source = source
        self._sha: str | None = None
        self.round_trips = 0

    def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it; raises the client's errors, to be called inside `translated`."""
        (answer,) = self.each([(keys, args)])
        if isinstance(answer, redis.RedisError):
            raise answer
        return answer

    def each(self, calls: Sequence[Call]) -> list[Any]:
        """Run it for each of `calls`, in one round trip; what went wrong with one is its answer.

        Each run is atomic, all together are not. A cluster is asked once for each call: no round trip goes
        to two nodes.

        Raises:
            redis.RedisError: the server does not answer, to be called inside `translated`.
        """
        if self._sha is None:
            self._sha = self._client.script_load(self._source)
        answers = self._run(calls)
        forgotten = [i for i, one in enumerate(answers) if isinstance(one, redis.exceptions.NoScriptError)]
        if forgotten:
            self._sha = self._client.script_load(self._source)
            again = self._run([calls[i] for i in forgotten])
            for i, answer in zip(forgotten, again, strict=True):
                answers[i] = answer
        return answers

    def _run(self, calls: Sequence[Call]) -> list[Any]:
        if isinstance(self._client, RedisCluster):
            return [self._run_one(*call) for call in calls]
        self.round_trips += 1
        pipeline = self._client.pipeline(transaction=False)
        for keys, args in calls:
            pipeline.evalsha(self._sha, len(keys), *keys, *args)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    def _run_one(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        self.round_trips += 1
        try:
            return self._client.evalsha(self._sha, len(keys), *keys, *args)
        except redis.ResponseError as error:
            return error
