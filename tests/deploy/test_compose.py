"""The compose file: valid for compose, and its settings valid for the service."""

import re
import sys
from functools import cache
from typing import Any

import yaml

from consumer.settings import Settings
from deploy.sandbox.__main__ import options_of
from tests.deploy.manifests import DEPLOY, ROOT, command, complaints

README = (ROOT / "README.md").read_text()


@cache
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def settings() -> dict[str, str]:
    environment: dict[str, str] = services()["order-rescue"]["environment"]
    return environment


def test_it_fits_the_compose_specification() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    command(sys.executable, "-m", "check_jsonschema", *schema, DEPLOY / "compose.yaml")


def test_the_service_takes_its_settings() -> None:
    assert complaints(settings()) == []
    assert settings()["ORDER_RESCUE_DATABASE_URL"].startswith("postgresql://")


def test_a_setting_that_the_service_does_not_have_would_be_seen() -> None:
    [line] = complaints(settings() | {"ORDER_RESCUE_KAFKA_SERVERS": "kafka:9092"})
    assert line.startswith("ORDER_RESCUE_KAFKA_SERVERS: no such setting")
    [line] = complaints(settings() | {"ORDER_RESCUE_PLATFORM_URL": "http://sandbox:9090"})
    assert line.startswith("ORDER_RESCUE_PLATFORM_URL:")


def test_database_and_service_agree() -> None:
    database = services()["postgres"]["environment"]
    assert settings()["ORDER_RESCUE_DATABASE_URL"] == (
        f"postgresql://{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
        f"@postgres:5432/{database['POSTGRES_DB']}"
    )


def test_broker_and_service_agree() -> None:
    kafka = services()["kafka"]
    advertised = kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"://{settings()['ORDER_RESCUE_KAFKA_BOOTSTRAP_SERVERS']}," in advertised
    assert kafka["image"] == services()["topics"]["image"]


def test_the_topics_are_those_of_the_settings_defaults() -> None:
    made = re.findall(r"order-rescue\.[a-z-]+", services()["topics"]["command"][0])
    assert made == ["order-rescue.events", "order-rescue.outcomes", "order-rescue.dead-letters"]
    fields = Settings.model_fields
    named = {n: f.default for n, f in fields.items() if re.fullmatch(r"kafka_\w+_topic", n)}
    assert set(named.values()) <= set(made)


def test_sandbox_and_service_share_a_loopback_and_their_secrets() -> None:
    sandbox = options_of(services()["sandbox"]["command"])
    assert services()["order-rescue"]["network_mode"] == "service:sandbox"
    assert settings()["ORDER_RESCUE_PLATFORM_URL"] == f"http://127.0.0.1:{sandbox.port}"
    assert sandbox.keys == (settings()["ORDER_RESCUE_PLATFORM_KEY"],)
    assert sandbox.webhook_secrets == (settings()["ORDER_RESCUE_WEBHOOK_SECRETS"],)
    port = Settings.model_fields["port"].default
    assert sandbox.webhook_url == f"http://127.0.0.1:{port}/webhooks/digital-river"


def test_the_readmes_calls_by_hand_work_with_it() -> None:
    for name in ("PLATFORM_KEY", "WEBHOOK_SECRETS", "API_TOKENS"):
        assert f"export ORDER_RESCUE_{name}={settings()[f'ORDER_RESCUE_{name}']}\n" in README


def test_nothing_is_reached_from_other_machines() -> None:
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_what_runs_on_is_watched_and_started_again() -> None:
    for name in ("order-rescue", "postgres", "kafka"):
        service = services()[name]
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] == "CMD", name
    for name, service in services().items():
        waits = service.get("depends_on", {}).items()
        assert all(wait["condition"] != "service_started" for _, wait in waits), name


def test_the_service_has_the_time_to_drain() -> None:
    grace = int(services()["order-rescue"]["stop_grace_period"].removesuffix("s"))
    assert grace >= Settings.model_fields["platform_timeout"].default + 15
