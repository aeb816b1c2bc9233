"""Settings for Kafka: each wrong one is one line that names it; passwords are not repeated."""

import ssl
from pathlib import Path

import pytest
import trustme

from consumer.kafka.cluster import KafkaUnusable, cluster
from consumer.settings import effective
from tests.shell.test_settings import complaints, loaded

SERVERS = "kafka-1:9092,kafka-2:9092"
SECRET = "hunter2-hunter2"
SASL = {"KAFKA_SASL_USERNAME": "shop", "KAFKA_SASL_PASSWORD": SECRET}


def test_without_servers_there_is_no_kafka() -> None:
    assert loaded().kafka is False
    assert loaded(KAFKA_BOOTSTRAP_SERVERS=SERVERS).kafka is True


def test_kafka_alone_needs_no_webhook_secret() -> None:
    alone = loaded(KAFKA_BOOTSTRAP_SERVERS=SERVERS, WEBHOOKS="off", WEBHOOK_SECRETS=None)
    assert alone.kafka_bootstrap_servers == ("kafka-1:9092", "kafka-2:9092")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka"}, "BOOTSTRAP_SERVERS: entry 1 must be host:port"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:70000"}, "BOOTSTRAP_SERVERS: entry 2 must be host:"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka://a:1"}, "BOOTSTRAP_SERVERS: entry 1 must be host:"),
        ({"KAFKA_EVENTS_TOPIC": "two words"}, "EVENTS_TOPIC: "),
        ({"KAFKA_OUTCOMES_TOPIC": "order-rescue.events"}, "OUTCOMES_TOPIC: must differ from"),
        ({"KAFKA_DEAD_LETTERS_TOPIC": "order-rescue.outcomes"}, "DEAD_LETTERS_TOPIC: must differ"),
        ({"KAFKA_INBOX_LIMIT": "10"}, "INBOX_LIMIT: must be greater than or equal to 100"),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "SECURITY_PROTOCOL: must be 'PLAINTEXT', 'SSL'"),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "SASL_MECHANISM: must be 'PLAIN', 'SCRAM-SHA-256'"),
        ({"KAFKA_SASL_PASSWORD": SECRET}, "SASL_PASSWORD: needs the security protocol SASL_SSL"),
        ({"KAFKA_SSL_CA_FILE": "/dev/null"}, "SSL_CA_FILE: needs the security protocol SSL"),
        ({"KAFKA_SSL_CA_FILE": "/none"}, "SSL_CA_FILE: can't be read (FileNotFoundError)"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(settings: dict[str, str], line: str) -> None:
    [told] = complaints(**settings)
    assert told.startswith(f"ORDER_RESCUE_KAFKA_{line}")
    assert SECRET not in told


def test_sasl_needs_user_and_password() -> None:
    lines = complaints(KAFKA_SECURITY_PROTOCOL="SASL_SSL")
    assert [line.partition(":")[0] for line in lines] == [
        "ORDER_RESCUE_KAFKA_SASL_USERNAME",
        "ORDER_RESCUE_KAFKA_SASL_PASSWORD",
    ]


def test_the_password_is_masked() -> None:
    settings = loaded(KAFKA_SECURITY_PROTOCOL="sasl_plaintext", **SASL)
    shown = {each.name: each for each in effective(settings)}
    assert shown["ORDER_RESCUE_KAFKA_SASL_PASSWORD"].masked
    assert SECRET not in str(shown)


def test_a_file_that_holds_no_certificates_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    [line] = complaints(KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_SSL_CA_FILE=str(tmp_path / "ca.pem"))
    assert line.endswith("KAFKA_SSL_CA_FILE: must be a file of PEM certificates")


def test_a_certificate_needs_its_own_key(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    one, two = authority.issue_cert("one.test"), authority.issue_cert("two.test")
    one.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = {
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CA_FILE": str(tmp_path / "ca.pem"),
        "KAFKA_SSL_CERT_FILE": str(tmp_path / "cert.pem"),
    }
    [line] = complaints(**tls)
    assert "KAFKA_SSL_KEY_FILE: and KAFKA_SSL_CERT_FILE need each other" in line
    keyed = tls | {"KAFKA_SSL_KEY_FILE": str(tmp_path / "key.pem")}
    one.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = cluster(loaded(**keyed)).login["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    two.private_key_pem.write_to_path(tmp_path / "key.pem")
    with pytest.raises(KafkaUnusable, match="don't fit"):
        cluster(loaded(**keyed))
