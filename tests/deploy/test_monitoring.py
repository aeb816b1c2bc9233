"""Alert rules and dashboard: they name what `/metrics` has, and lead to what is written."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from consumer.observe.metrics import (
    CALL_OUTCOMES,
    EVENT_RESULTS,
    ORIGINS,
    OUTCOME_RESULTS,
    PARTITION_STATES,
    STATES,
    TRANSPORTS,
    WEBHOOK_RESULTS,
    Metrics,
    status_class,
)
from consumer.platform import Call
from tests.deploy.manifests import DEPLOY, ROOT, command

ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "order-rescue.json"
NOW = datetime(2024, 5, 2, tzinfo=UTC)
NAME = re.compile(r"\b(?:order_rescue|process|python)_\w+|\bup\b")
SELECTOR = re.compile(rf"({NAME.pattern})\{{([^}}]*)\}}")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
# Which values a label may have, where the service has a closed set of them.
VALUES = {
    ("order_rescue_webhooks_total", "result"): WEBHOOK_RESULTS,
    ("order_rescue_events_total", "result"): EVENT_RESULTS,
    ("order_rescue_outcomes_total", "result"): OUTCOME_RESULTS,
    ("order_rescue_kafka_partitions", "state"): PARTITION_STATES,
    ("order_rescue_dead_letters_total", "origin"): ORIGINS | {"outcome"},
    ("order_rescue_oldest_unresolved_seconds", "state"): STATES,
    ("order_rescue_purchases", "state"): STATES,
    ("order_rescue_platform_event_age_seconds", "transport"): TRANSPORTS,
    ("order_rescue_platform_calls_total", "outcome"): CALL_OUTCOMES,
    ("order_rescue_platform_calls_total", "status"): {
        status_class(status) for status in (None, 200, 300, 400, 429, 500)
    },
    ("order_rescue_platform_calls_total", "method"): {"GET", "POST", "DELETE"},
    ("order_rescue_platform_calls_total", "route"): {"/orders"},
}


class Query(NamedTuple):
    """One expression, and where it stands."""

    place: str
    expression: str


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for rule in rules():
        yield Query(rule["alert"], rule["expr"])
    for panel in panels():
        for target in panel["targets"]:
            yield Query(panel["title"], target["expr"])


def page() -> dict[str, set[str]]:
    """Every name on the page of a service that has done everything once, with its labels."""
    metrics = Metrics()
    metrics.webhook("stored", 0.01)
    metrics.api("GET", "/v1/purchases/{id}", 200, 0.01)
    metrics.event("stored")
    metrics.ignored("stale")
    metrics.dead_letter("platform")
    metrics.decision("gate.passed", "held", "checking", 0.01)
    metrics.accepted(1.0)
    metrics.alert("credentials")
    metrics.platform_call(
        Call(
            method="POST",
            route="/orders",
            status=201,
            outcome="answered",
            seconds=0.1,
            waited=0.0,
            upstream_id="1",
            request_id=None,
        )
    )
    metrics.outcome("webhook", "sent")
    metrics.levels(undelivered={"webhook": 0})
    metrics.kafka_records("stored", 1)
    metrics.kafka(lag=0, paused=False, read=1, silent=0)
    metrics.unresolved({("held", "checking"): 1}, {"held": None}, NOW)
    metrics.heard({"webhook": NOW}, NOW, NOW)
    text, _ = metrics.render()
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_the_rules_do_what_their_tests_say() -> None:
    command("promtool", "test", "rules", DEPLOY / "prometheus" / "alerts_test.yaml")


def test_every_query_is_one(tmp_path: Path) -> None:
    """The dashboard's too, with values in the place of its variables."""
    listed = [
        {
            "record": f"query:{number}",
            "expr": query.expression.replace("$__rate_interval", "5m").replace("$job", "job"),
        }
        for number, query in enumerate(queries())
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": listed}]}))
    command("promtool", "check", "rules", path)
    command("promtool", "check", "rules", ALERTS)


def test_every_alert_is_tested_to_fire() -> None:
    text = (DEPLOY / "prometheus" / "alerts_test.yaml").read_text()
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    assert {name for name in names if f'alertname="{name}"' not in text} == set()


def test_every_metric_is_on_the_page_of_metrics() -> None:
    known = page()
    for query in queries():
        named = set(NAME.findall(query.expression))
        assert named, query
        assert named - known.keys() == set(), query.place


def test_every_label_is_one_of_its_metric() -> None:
    known = page()
    for query in queries():
        for name, selector in SELECTOR.findall(query.expression):
            labels = {label for label, _, _ in MATCHER.findall(selector)}
            assert labels - known[name] <= {"job", "instance"}, (query.place, name)
        grouped = re.findall(r"\bby \(([^)]*)\)", query.expression)
        by = {label.strip() for group in grouped for label in group.split(",")}
        metrics = set(NAME.findall(query.expression))
        assert by <= set().union(*(known[name] for name in metrics)), query.place


def test_every_value_that_a_query_asks_for_can_be_there() -> None:
    asked = set()
    for query in queries():
        for name, selector in SELECTOR.findall(query.expression):
            for label, _, value in MATCHER.findall(selector):
                if label == "job" or label == "rule":
                    continue  # not the service's; and an open set
                asked.add((name, label))
                assert set(value.split("|")) <= VALUES[name, label], query.place
    assert len(asked) >= 8


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_how_bad_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("OrderRescue")
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert path == "docs/operations.md"
    titles = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert anchor in anchors


def test_the_dashboard_has_its_panels_side_by_side() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    cells = [
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_dashboard_asks_the_data_source_that_the_reader_chose() -> None:
    assert len(panels()) > 20
    for panel in panels():
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            assert 'job="$job"' in target["expr"], panel["title"]


def test_the_documents_name_the_metrics_that_the_dashboard_shows() -> None:
    told = (ROOT / "docs" / "operations.md").read_text()
    for query in queries():
        for name in NAME.findall(query.expression):
            if name.startswith("order_rescue_"):
                assert re.sub(r"_bucket$", "", name) in told, query.place
