"""Redis (or Valkey), with every wait bounded and every failure one of our errors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from clickstream.infra.errors import ClickstreamError, ConfigurationError, RefusedError, UnavailableError
from clickstream.infra.redis_address import (
    Password,
    RedisAddress,
    address,
    given,
    redis_absence,
    redis_address,
)
from clickstream.infra.settings import Settings
from clickstream.infra.tls import error_of_tls


class WrongTypeError(RefusedError):
    """A key holds a value of another type than its name promises: somebody else wrote it."""


_FIRST = "connecting"


@contextmanager
def translated(doing: str, settings: Settings) -> Iterator[None]:
    """Turn the errors of the Redis client into ours."""
    try:
        yield
    except (redis.RedisError, RedisClusterException, OSError) as error:
        raise _as_ours(error, doing, f"Redis at {address(settings)}", settings) from error


def _as_ours(error: Exception, doing: str, where: str, settings: Settings) -> ClickstreamError:
    """What the client raised, as an error of ours: first what a person must mend, then what passes."""
    text = str(error)
    # A running consumer waits: of two that must change together, one changes first.
    renewed = ConfigurationError if doing == _FIRST else UnavailableError
    if problem := _certificate_problem(error):
        return renewed(f"{doing}: {where}: {problem[0]}", problem[1])
    if "Cluster mode is not enabled" in text and (denied := _denied(error)) is not None:
        text = str(denied)
    if "EXEC without MULTI" in text:
        # The client does not look at what MULTI was answered.
        text = f"this user has no permissions to run the 'multi' command: {text}"
    if isinstance(error, redis.exceptions.NoPermissionError) or "no permissions to run" in text:
        return ConfigurationError(
            f"{doing}: {where} does not permit it ({text})",
            "Give it the rights that `clickstream acls` prints.",
        )
    if isinstance(error, redis.AuthenticationError) or "invalid username-password" in text:
        kind, source = (
            (renewed, "CLICKSTREAM_REDIS_PASSWORD_FILE")
            if settings.redis_password_file is not None
            else (ConfigurationError, "CLICKSTREAM_REDIS_URL")
        )
        return kind(
            f"{doing}: {where} refused the credentials ({error})",
            f"Check the user (redis://user:password@host:port/0) and the password in {source}.",
        )
    if isinstance(error, redis.OutOfMemoryError):
        return UnavailableError(
            f"{doing}: {where} is out of memory ({error})",
            "Raise its maxmemory (policy noeviction), or lower the number of open sessions. Nothing is lost.",
        )
    if isinstance(error, redis.exceptions.MovedError):
        return ConfigurationError(
            f"{doing}: {where} is a node of a Redis Cluster", "Set CLICKSTREAM_REDIS_CLUSTER=true."
        )
    if "Cluster mode is not enabled" in text:
        return ConfigurationError(
            f"{doing}: {where} is no node of a Redis Cluster", "Leave out CLICKSTREAM_REDIS_CLUSTER."
        )
    if isinstance(error, _NOT_READY) or text.startswith(_NOT_READY_WORDS):
        return UnavailableError(f"{doing}: {where} is not ready ({error})", "It usually is soon.")
    if isinstance(error, MasterNotFoundError):
        return UnavailableError(
            # Behind the colon the client shows itself.
            f"{doing}: the Sentinels at {address(settings)} name no master that answers"
            f" ({text.partition(' : ')[0]})",
            "Check CLICKSTREAM_REDIS_SENTINEL_SERVICE, and the Sentinels. A running consumer goes on"
            " by itself.",
        )
    if isinstance(error, redis.ResponseError) and not isinstance(error, redis.exceptions.ClusterError):
        refused = WrongTypeError if "WRONGTYPE" in text else RefusedError
        # No address: a partition that is refused for it is told to whoever reaches the port.
        return refused(f"{doing}: Redis refused the command ({error})")
    what, remedy = redis_absence(settings)
    return UnavailableError(
        f"{doing}: {where} does not answer: {what} ({error})",
        f"{remedy} A running consumer goes on by itself.",
    )


# A failover, a slot that is being moved, a start, replicas that are behind: what was asked for is done later.
_NOT_READY = (
    redis.ReadOnlyError,
    redis.exceptions.TryAgainError,
    redis.exceptions.AskError,
    redis.exceptions.MasterDownError,
    redis.BusyLoadingError,
)
_NOT_READY_WORDS = ("BUSY ", "NOREPLICAS ", "MISCONF ", "TTL exhausted")


def _denied(error: BaseException) -> BaseException | None:
    """The permission that was lacking, of an error or what caused it: the client takes it for no cluster."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, redis.exceptions.NoPermissionError):
        found = found.__cause__ or found.__context__
    return found


def _certificate_problem(error: BaseException) -> tuple[str, str] | None:
    """Which certificate was refused and why, and what to do, by the error or what caused it."""
    found = error_of_tls(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted: {found.verify_message}",
            "Name the authority that signed it in CLICKSTREAM_REDIS_CA_FILE, and in CLICKSTREAM_REDIS_URL"
            " a host that the certificate is made out to.",
        )
    if found is not None and "ALERT" in (reason := found.reason or ""):
        return (
            f"it refused the connection ({reason})",
            "Name a certificate that it accepts, and its key, in CLICKSTREAM_REDIS_CERTIFICATE_FILE and"
            " CLICKSTREAM_REDIS_KEY_FILE.",
        )
    return None


def connect(settings: Settings) -> Any:
    """A client that has been answered once.

    Raises:
        UnavailableError: nobody answers.
        ConfigurationError: no URL, a malformed URL, or a wrong password.
    """
    found = redis_address(settings)
    options = {**_bounded(settings, found.options), "decode_responses": False}
    with translated(_FIRST, settings):
        if settings.redis_cluster:
            client = _cluster(found, options)
        elif settings.redis_sentinel_service is not None:
            options.pop("connection_class", None)
            sentinel = sentinels_of(settings)
            client = sentinel.master_for(settings.redis_sentinel_service, ssl=found.encrypted, **options)
        else:
            if found.hosts:
                options["host"], options["port"] = found.hosts[0]
            client = redis.Redis.from_pool(redis.ConnectionPool(**options))
        client.ping()
    return client


def sentinels_of(settings: Settings) -> Any:
    """The Sentinels that the URL names, none of them asked yet; `sentinels` has a client for each.

    Raises:
        ConfigurationError: as `redis_address`.
    """
    found = redis_address(settings)
    asking: dict[str, Any] = found.tls | {"ssl": found.encrypted}
    if given(settings, "redis_sentinel_password"):
        asking["credential_provider"] = Password(settings, "redis_sentinel_password")
    asking = _bounded(settings, asking)
    return Sentinel(found.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]


def _bounded(settings: Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` of a connection that waits so long, does not try again, and logs in without a word more.

    A retry of the client's could repeat a write whose answer was lost; our scripts decide about that. To name
    itself the library would need a right more, and is entered in ACL LOG without it. Where it does not log
    in it needs none, and must ask something: what TLS 1.3 sends of itself at the start lies unread else, and
    the library takes it for the rest of an answer.
    """
    bounds = {
        "socket_timeout": min(5.0, settings.patience / 1000),
        "socket_connect_timeout": 2.0,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if {"password", "credential_provider"} & options.keys():
        bounds["driver_info"] = None
    return {**options, **bounds}


def _cluster(found: RedisAddress, options: dict[str, Any]) -> Any:
    if options.pop("db", 0):
        raise ConfigurationError(
            "CLICKSTREAM_REDIS_URL names a database, and a Redis Cluster has but number 0",
            "Write it without one: redis://host:port,host:port.",
        )
    options.pop("connection_class", None)
    nodes = [ClusterNode(*host) for host in found.hosts]  # type: ignore[no-untyped-call]
    return RedisCluster(startup_nodes=nodes, ssl=found.encrypted, **options)


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
