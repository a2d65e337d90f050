"""Whether a broker that is there takes our connection, and if not, why: found out by connecting once more.

kafka-python retries a connection that is refused as one that broke, and runs out of time; librdkafka says
less than the broker does. So for both, one connection is made by hand.
"""

from __future__ import annotations

from contextlib import closing

from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from clickstream.infra.errors import ClickstreamError, ConfigurationError
from clickstream.infra.kafka.connection import connection_options, require_bootstrap
from clickstream.infra.kafka.credentials import SETTING, token_source, uses_sasl, uses_tls
from clickstream.infra.settings import Settings
from clickstream.infra.tls import fault

_MOST_WAIT_MS = 3_000


def refusal(settings: Settings) -> ClickstreamError | None:
    """Why the brokers of the settings do not take us, or we do not take them; None where that is not it."""
    if not (uses_tls(settings) or uses_sasl(settings)):
        return None
    try:
        if uses_sasl(settings) and settings.kafka_sasl_mechanism == "OAUTHBEARER":
            # The broker may know others than the one that we keep.
            token_source(settings).forget()
        addresses = require_bootstrap(settings).split(",")
        return next(filter(None, (_refusal_of(address, settings) for address in addresses)), None)
    except ClickstreamError as error:
        return error


def _refusal_of(address: str, settings: Settings) -> ClickstreamError | None:
    where = f"Kafka at {address}"
    error = _connected(address, settings)
    if isinstance(error, _HungUp):
        # The client hears the broker's words only where they come some time before it hangs up. A broker
        # that was just stopping is gone by the second time.
        error = _connected(address, settings)
    if error is None or isinstance(error, ClickstreamError):
        return error
    if (said := fault(error, SETTING)) is not None:
        return ConfigurationError(f"{where}: {said[0]}", said[1])
    mechanism = settings.kafka_sasl_mechanism
    match error:
        case kafka_errors.UnsupportedSaslMechanismError():
            return ConfigurationError(
                f"{where} does not offer {mechanism}",
                "Set CLICKSTREAM_KAFKA_SASL_MECHANISM to one of its sasl.enabled.mechanisms.",
            )
        case kafka_errors.IllegalSaslStateError():
            return ConfigurationError(
                f"{where} asks for no user there",
                "Correct the port, or take SASL_ from CLICKSTREAM_KAFKA_SECURITY_PROTOCOL.",
            )
        case kafka_errors.SaslAuthenticationFailedError() | _HungUp():
            return ConfigurationError(
                f"{where} refused the credentials of {settings.kafka_username!r} by {mechanism} ({error})",
                _REMEDIES.get(mechanism, _PASSWORD),
            )
    return None


class _HungUp(Exception):
    """In the middle of what proves who we are."""


def _connected(address: str, settings: Settings) -> Exception | None:
    """How one connection failed; None where it stands, or nothing is known in time."""
    options = connection_options(settings) | {"bootstrap_servers": [address]}
    with closing(NetworkSelector()) as net:
        manager = KafkaConnectionManager(net, **options)
        (broker,) = manager.cluster.bootstrap_brokers()
        connection = manager.get_connection(
            broker.node_id, timeout_ms=_MOST_WAIT_MS, pop_on_close=False, refresh_metadata_on_err=False
        )
        # An error that is raised again here, while another is handled, would forget what it came from.
        done = Future()
        connection._init_future.add_both(done.success)
        try:
            net.run(manager.wait_for, done, _MOST_WAIT_MS)
        except kafka_errors.KafkaTimeoutError:
            return None
        finally:
            manager.close()
    error: Exception | None = connection._init_future.exception
    # It has told its versions: what comes next is who we are.
    proving = uses_sasl(settings) and connection.broker_version_data is not None
    if proving and isinstance(error, kafka_errors.KafkaConnectionError) and fault(error, SETTING) is None:
        return _HungUp("it hung up")
    return error


_PASSWORD = (
    "Check CLICKSTREAM_KAFKA_USERNAME and CLICKSTREAM_KAFKA_PASSWORD, or the file in"
    " CLICKSTREAM_KAFKA_PASSWORD_FILE, and whether the broker knows this user for this mechanism."
)
_REMEDIES = {
    "OAUTHBEARER": "Compare issuer, audience and keys of the tokens of CLICKSTREAM_KAFKA_TOKEN_URL with the"
    " broker's sasl.oauthbearer settings.",
}
