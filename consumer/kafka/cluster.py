"""The Kafka cluster: how to reach it, and whether it will have us."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from consumer.settings import Settings

CLIENT = "order-rescue"
REQUEST = 10_000  # milliseconds for one request to a broker
METADATA = 30_000  # milliseconds after which topics and leaders are asked for again
SESSION, HEARTBEAT = 10_000, 2_000  # milliseconds: who is silent so long is taken out of the group
REFUSED = (AuthenticationFailedError, SaslAuthenticationFailed, UnsupportedSaslMechanismError)
SAY_AGAIN = 60.0  # seconds in which the library says one thing once: it tries ten times a second


class Seldom(logging.Filter):
    """Lets a line of one kind pass now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """The kind is the message before its values are put in."""
        kind, now = str(record.msg), time.monotonic()
        if now - self._said.get(kind, -SAY_AGAIN) < SAY_AGAIN:
            return False
        self._said[kind] = now
        return True


class KafkaUnusable(Exception):
    """It refuses us or lacks a topic: waiting helps nothing. `lines` say what to mend."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class KafkaAway(Exception):
    """It can't be reached now."""


@dataclass(frozen=True)
class Cluster:
    """Where it is and how we log in. Topics by what they are for, as the settings name them."""

    servers: tuple[str, ...]
    events: str
    outcomes: str
    dead_letters: str
    group: str
    login: dict[str, Any]

    def consumer(self, **more: Any) -> AIOKafkaConsumer:
        """A consumer of the group that is not started yet; offsets are ours to commit."""
        return AIOKafkaConsumer(
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=SESSION,
            heartbeat_interval_ms=HEARTBEAT,
            **self._common(),
            **more,
        )

    def producer(self) -> AIOKafkaProducer:
        """A producer that is not started yet: idempotent, acknowledged by all replicas."""
        return AIOKafkaProducer(
            enable_idempotence=True, acks="all", max_request_size=16 << 20, **self._common()
        )

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self.servers),
            "client_id": CLIENT,
            "request_timeout_ms": REQUEST,
            "metadata_max_age_ms": METADATA,
            **self.login,
        }

    async def check(self) -> None:
        """Log in and look for the topics. Raises KafkaUnusable or KafkaAway."""
        client = AIOKafkaClient(**self._common())
        try:
            await client.bootstrap()
            found = await client.fetch_all_metadata()
        except (KafkaError, OSError) as error:
            await self._explain()
            raise KafkaAway(type(error).__name__) from error
        finally:
            await client.close()
        here = found.topics(exclude_internal_topics=False)
        lines = [
            f"Kafka has no topic {topic} ({name}), or it is not for us to see"
            for name, topic in self._topics()
            if topic not in here
        ]
        if lines:
            raise KafkaUnusable(lines)

    def _topics(self) -> Sequence[tuple[str, str]]:
        return (
            ("KAFKA_EVENTS_TOPIC", self.events),
            ("KAFKA_OUTCOMES_TOPIC", self.outcomes),
            ("KAFKA_DEAD_LETTERS_TOPIC", self.dead_letters),
        )

    async def _explain(self) -> None:
        """Raises KafkaUnusable if a server answers and does not take us; the library only logs."""
        for server in self.servers:
            host, _, port = server.rpartition(":")
            try:
                connection = await create_conn(
                    host.strip("[]"),
                    int(port),
                    client_id=CLIENT,
                    request_timeout_ms=REQUEST,
                    **self.login,
                )
            except REFUSED as error:
                why = f"Kafka at {server} refuses the login (KAFKA_SASL_*, {type(error).__name__})"
                raise KafkaUnusable([why]) from error
            except ssl.SSLError as error:
                reason = getattr(error, "verify_message", "") or error.reason or "no TLS"
                why = f"Kafka at {server}: no secure connection (KAFKA_SSL_*): {reason}"
                raise KafkaUnusable([why]) from error
            except (KafkaError, OSError, TimeoutError):
                continue
            connection.close()


def cluster(settings: Settings) -> Cluster:
    """The cluster that the settings name. Raises KafkaUnusable if certificate and key don't fit."""
    _calm_library()
    try:
        tls = settings.kafka_tls()
    except OSError as error:
        raise KafkaUnusable(
            ["KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE (or its password) don't fit"]
        ) from error
    login: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if tls:
        login["ssl_context"] = tls
    if settings.kafka_sasl_password:
        login |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return Cluster(
        settings.kafka_bootstrap_servers,
        settings.kafka_events_topic,
        settings.kafka_outcomes_topic,
        settings.kafka_dead_letters_topic,
        settings.kafka_group,
        login,
    )


def _calm_library() -> None:
    """Each of its loggers: a filter of a parent does not see its children's lines."""
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if name.split(".")[0] == "aiokafka" and not any(
            isinstance(f, Seldom) for f in logger.filters
        ):
            logger.addFilter(Seldom())
