"""The settings for Kafka: where it is, what is read and written there, and how we log in."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from consumer.settings import values

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Servers = Annotated[tuple[str, ...], BeforeValidator(values.server_list)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
File = Annotated[Path, BeforeValidator(values.readable_file)]


class KafkaSettings(BaseModel):
    """What `serve` needs to read and write Kafka. No bootstrap servers: no Kafka.

    Fields that a check of another one looks at come before it.
    """

    kafka_bootstrap_servers: Servers = ()
    kafka_events_topic: Name = "order-rescue.events"
    kafka_outcomes_topic: Name = "order-rescue.outcomes"
    kafka_dead_letters_topic: Name = "order-rescue.dead-letters"
    kafka_group: Annotated[str, Field(min_length=1, max_length=249)] = "order-rescue"
    kafka_inbox_limit: Annotated[int, Field(ge=100, le=10_000_000)] = 10_000
    kafka_security_protocol: Annotated[Protocol, BeforeValidator(str.upper)] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[Mechanism, BeforeValidator(str.upper)] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = Field(None, validate_default=True)
    kafka_sasl_password: SecretStr | None = Field(None, validate_default=True)
    kafka_ssl_ca_file: File | None = None
    kafka_ssl_cert_file: File | None = None
    kafka_ssl_key_file: File | None = Field(None, validate_default=True)
    kafka_ssl_key_password: SecretStr | None = None

    @property
    def kafka(self) -> bool:
        """Whether there is a Kafka."""
        return bool(self.kafka_bootstrap_servers)

    @field_validator("kafka_outcomes_topic", "kafka_dead_letters_topic")
    @classmethod
    def _of_its_own(cls, topic: str, info: ValidationInfo) -> str:
        """What we write must not come back to us."""
        for other in ("kafka_events_topic", "kafka_outcomes_topic"):
            if other != info.field_name and info.data.get(other) == topic:
                raise ValueError(f"must differ from {other.upper()}")
        return topic

    @field_validator("kafka_sasl_username", "kafka_sasl_password")
    @classmethod
    def _with_sasl(cls, value: Any, info: ValidationInfo) -> Any:
        protocol = info.data.get("kafka_security_protocol", "")  # "" when it was invalid itself
        if protocol.startswith("SASL_") and not value:
            raise ValueError(f"is required with the security protocol {protocol}")
        if value and protocol and not protocol.startswith("SASL_"):
            raise ValueError("needs the security protocol SASL_SSL or SASL_PLAINTEXT")
        return value

    @field_validator("kafka_ssl_ca_file", "kafka_ssl_cert_file", "kafka_ssl_key_file")
    @classmethod
    def _with_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and info.data.get("kafka_security_protocol") in ("PLAINTEXT", "SASL_PLAINTEXT"):
            raise ValueError("needs the security protocol SSL or SASL_SSL")
        if value and info.field_name == "kafka_ssl_ca_file":
            values.refused_as("PEM certificates", ssl.create_default_context, cafile=value)
        return value

    @field_validator("kafka_ssl_key_file")
    @classmethod
    def _with_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "kafka_ssl_cert_file" in info.data and bool(value) != bool(
            info.data["kafka_ssl_cert_file"]
        ):
            raise ValueError("and KAFKA_SSL_CERT_FILE need each other")
        return value

    @field_validator("kafka_ssl_key_password")
    @classmethod
    def _opens_the_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value and not info.data.get("kafka_ssl_key_file"):
            raise ValueError("needs KAFKA_SSL_KEY_FILE")
        return value

    def kafka_tls(self) -> ssl.SSLContext | None:
        """How to recognise the brokers and show who we are; `None` without TLS.

        Raises OSError (of which SSLError is one) when certificate and key don't fit.
        """
        if self.kafka_security_protocol not in ("SSL", "SASL_SSL"):
            return None
        context = ssl.create_default_context(cafile=self.kafka_ssl_ca_file)
        if self.kafka_ssl_cert_file and self.kafka_ssl_key_file:
            secret = self.kafka_ssl_key_password
            # Without a password the library would ask the terminal for one.
            password = secret.get_secret_value() if secret else ""
            context.load_cert_chain(self.kafka_ssl_cert_file, self.kafka_ssl_key_file, password)
        return context
