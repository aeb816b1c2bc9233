"""Metrics for Prometheus. Labels come from closed sets: no ids, no codes, no fraud words (I8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from schemas.facts import Origin
from schemas.purchase import Reason, State

OTHER = "other"
MOST_WORDS = 200  # distinct values of a label whose set only the code that counts knows
WEBHOOK_RESULTS = frozenset(
    """
    stored duplicate malformed signature credentials address too_large media_type shed
    unavailable
    """.split()
)
EVENT_RESULTS = frozenset("stored duplicate malformed unsupported unavailable".split())
OUTCOME_RESULTS = frozenset({"sent", "failed", "dead"})
CALL_OUTCOMES = frozenset("answered rejected unavailable unknown cancelled".split())
TRANSPORTS = frozenset({"webhook", "kafka", "backfill"})
PARTITION_STATES = frozenset({"read", "silent"})
RECORD_RESULTS = frozenset({"stored", "duplicate", "dead"})
METHODS = frozenset("GET POST PUT PATCH DELETE HEAD OPTIONS".split())
STATES = frozenset(state.value for state in State)
ORIGINS = frozenset(origin.value for origin in Origin)
# What a shopper may not be told, a label does not tell either (DESIGN, scope `shop`).
_QUIET = {Reason.FRAUD: "exhausted", Reason.BLOCKED: "exhausted", Reason.FRAUD_REVIEW: "processing"}
REASONS = {reason.value: _QUIET.get(reason, reason.value) for reason in Reason}

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
_CALL = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ORDER = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0, 3600.0, 86_400.0)


class Call(Protocol):
    """What the platform client reports. A Protocol because that client is a layer above."""

    @property
    def method(self) -> str: ...
    @property
    def route(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    @property
    def outcome(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def waited(self) -> float: ...
    @property
    def upstream_id(self) -> str: ...
    @property
    def request_id(self) -> str | None: ...


class Words:
    """A label's values, as they come, until there are too many to be a closed set."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, word: str) -> str:
        """The word, or `other` for what can't be a name of ours."""
        if word not in self._seen:
            strange = not 1 <= len(word) <= 64 or "fraud" in word.lower()
            if strange or len(self._seen) >= MOST_WORDS:
                return OTHER
            self._seen.add(word)
        return word


def _closed(word: str, known: Iterable[str]) -> str:
    return word if word in known else OTHER


def quiet(reason: str | None) -> str | None:
    """A purchase's reason as labels and logs may name it."""
    return REASONS.get(reason, OTHER) if reason else None


def status_class(status: int | None) -> str:
    """`2xx` to `5xx`, `429`, or `none` when there was no answer."""
    if status is None:
        return "none"
    if status == 429:
        return "429"
    return f"{status // 100}xx" if 100 <= status < 600 else OTHER


class Metrics:
    """All counters of one service, in a registry of their own. Times are seconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._words: dict[str, Words] = {}
        self._ways_in()
        self._decisions()
        self._ways_out()
        self._levels()

    def render(self) -> tuple[bytes, str]:
        """The page for `GET /metrics` and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def webhook(self, result: str, seconds: float) -> None:
        """A delivery was answered; `result` is one of WEBHOOK_RESULTS."""
        self._webhooks.labels(_closed(result, WEBHOOK_RESULTS)).inc()
        self._ack.observe(seconds)

    def api(self, method: str, route: str, status: int, seconds: float) -> None:
        """A call of the API was answered. `route` is the template, such as `/v1/purchases/{id}`."""
        word = self._word("route", route)
        code = str(status) if 100 <= status < 600 else OTHER
        self._api.labels(_closed(method, METHODS), word, code).inc()
        self._api_seconds.labels(word).observe(seconds)

    def event(self, result: str) -> None:
        """An event of our own came in; `result` is one of EVENT_RESULTS."""
        self._events.labels(_closed(result, EVENT_RESULTS)).inc()

    def kafka_records(self, result: str, number: int) -> None:
        """So many records of the events topic were stored; `result` is one of RECORD_RESULTS."""
        self._records.labels(_closed(result, RECORD_RESULTS)).inc(number)

    def kafka_reset(self) -> None:
        """A partition did not have the record that comes next."""
        self._resets.inc()

    def kafka(self, *, lag: int, paused: bool, read: int, silent: int) -> None:
        """How many records this process has still to read, whether it holds back, and its
        partitions: those that it reads, and those for which no broker answers."""
        self._lag.set(lag)
        self._holds_back.set(paused)
        for state, number in (("read", read), ("silent", silent)):
            self._partitions.labels(_closed(state, PARTITION_STATES)).set(number)

    def ignored(self, reason: str) -> None:
        """A fact was stored and changes nothing, such as `stale` or `wrong_mode`."""
        self._ignored.labels(self._word("ignored", reason)).inc()

    def dead_letter(self, origin: str) -> None:
        """A fact (by its origin) or a delivery (`outcome`) was given up."""
        self._dead.labels(_closed(origin, ORIGINS | {"outcome"})).inc()

    def decision(self, rule: str, state: str, reason: str | None, seconds: float) -> None:
        """A fact was decided. `rule` is the id of the rule that matched."""
        self._decided.labels(self._word("rule", rule)).inc()
        self._states.labels(_closed(state, STATES), quiet(reason) or "none").inc()
        self._decision_seconds.observe(seconds)

    def accepted(self, seconds: float) -> None:
        """An order was accepted, `seconds` after the storefront asked for it."""
        self._to_order.observe(max(0.0, seconds))

    def alert(self, kind: str) -> None:
        """Something that a person must see."""
        self._alerts.labels(self._word("alert", kind)).inc()

    def platform_call(self, call: Call) -> None:
        """A call to the platform ended, one way or the other."""
        method, route = _closed(call.method, METHODS), self._word("platform", call.route)
        outcome = _closed(call.outcome, CALL_OUTCOMES)
        self._calls.labels(method, route, status_class(call.status), outcome).inc()
        self._call_seconds.labels(method, route).observe(call.seconds)
        self._waited.observe(call.waited)

    def outcome(self, sink: str, result: str) -> None:
        """An attempt to deliver an outcome ended; `result` is one of OUTCOME_RESULTS."""
        self._outcomes.labels(self._word("sink", sink), _closed(result, OUTCOME_RESULTS)).inc()

    def levels(
        self,
        *,
        inbox: int | None = None,
        parked: int | None = None,
        writer: int | None = None,
        limiter: int | None = None,
        share: float | None = None,
        held: int | None = None,
        undelivered: Mapping[str, int] | None = None,
    ) -> None:
        """How much waits now: facts, parked facts, writes, calls; purchases that are held;
        outcomes by the sink that they wait for. `share`: calls a second that this process may make.
        """
        for sink, number in (undelivered or {}).items():
            self._undelivered.labels(self._word("sink", sink)).set(number)
        for gauge, value in (
            (self._inbox, inbox),
            (self._parked, parked),
            (self._writer, writer),
            (self._limiter, limiter),
            (self._share, share),
            (self._held, held),
        ):
            if value is not None:
                gauge.set(value)

    def unresolved(
        self,
        numbers: Mapping[tuple[str, str | None], int],
        oldest: Mapping[str, datetime | None],
        now: datetime,
    ) -> None:
        """The purchases that have not ended: how many by state and reason, and since when."""
        self._purchases.clear()
        for (state, reason), number in numbers.items():
            labels = _closed(state, STATES), quiet(reason) or "none"
            self._purchases.labels(*labels).inc(number)
        for state, at in oldest.items():
            age = max(0.0, (now - at).total_seconds()) if at else 0.0
            self._oldest.labels(_closed(state, STATES)).set(age)

    def heard(
        self, last: Mapping[str, datetime], caught_up: datetime | None, now: datetime
    ) -> None:
        """When the platform's events last came, by transport, and how far all are known."""
        for transport, at in last.items():
            word = _closed(transport, TRANSPORTS)
            self._silence.labels(word).set(max(0.0, (now - at).total_seconds()))
        if caught_up:
            self._caught_up.set(caught_up.timestamp())

    def _word(self, label: str, word: str) -> str:
        return self._words.setdefault(label, Words())(word)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"order_rescue_{name}", help, labels, registry=self.registry)

    def _histogram(
        self, name: str, help: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"order_rescue_{name}", help, labels, buckets=buckets, registry=self.registry
        )

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"order_rescue_{name}", help, labels, registry=self.registry)

    def _ways_in(self) -> None:
        self._webhooks = self._counter("webhooks_total", "Webhook deliveries answered", "result")
        self._ack = self._histogram("webhook_ack_seconds", "From request to answer", _FAST)
        self._api = self._counter(
            "api_requests_total", "API calls answered", "method", "route", "status"
        )
        self._api_seconds = self._histogram(
            "api_request_seconds", "From request to answer", _CALL, "route"
        )
        self._events = self._counter("events_total", "Events of our own", "result")
        self._records = self._counter(
            "kafka_records_total", "Records of the events topic", "result"
        )
        self._resets = self._counter(
            "kafka_offset_resets_total", "Partitions that lacked the record that comes next"
        )
        self._ignored = self._counter(
            "facts_ignored_total", "Facts stored that change nothing", "reason"
        )
        self._dead = self._counter("dead_letters_total", "Facts and deliveries given up", "origin")

    def _decisions(self) -> None:
        self._decided = self._counter("decisions_total", "Decisions by rule", "rule")
        self._states = self._counter(
            "purchase_states_total", "Decisions by the state they led to", "state", "reason"
        )
        self._decision_seconds = self._histogram(
            "decision_seconds", "Loading, deciding and storing", _FAST
        )
        self._to_order = self._histogram(
            "ready_to_order_seconds", "From the shopper's last confirmation to the order", _ORDER
        )
        self._alerts = self._counter("alerts_total", "What a person must see", "kind")

    def _ways_out(self) -> None:
        labels = ("method", "route", "status", "outcome")
        self._calls = self._counter("platform_calls_total", "Calls to the platform", *labels)
        self._call_seconds = self._histogram(
            "platform_call_seconds", "Without the wait for budget", _CALL, "method", "route"
        )
        self._waited = self._histogram(
            "platform_budget_wait_seconds", "Wait for the right to call", _CALL
        )
        self._outcomes = self._counter("outcomes_total", "Deliveries of outcomes", "sink", "result")

    def _levels(self) -> None:
        self._inbox = self._gauge("inbox_depth", "Facts that wait for a decision")
        self._lag = self._gauge("kafka_lag", "Records that this process has still to read")
        self._partitions = self._gauge(
            "kafka_partitions", "Partitions of the events topic that this process has", "state"
        )
        self._holds_back = self._gauge("kafka_paused", "1 while the inbox is too deep to read on")
        self._undelivered = self._gauge(
            "outcomes_waiting", "Outcomes that are not delivered yet", "sink"
        )
        self._parked = self._gauge("facts_parked", "Facts that wait for their purchase")
        self._writer = self._gauge("writer_backlog", "Jobs that wait for a commit")
        self._limiter = self._gauge("platform_waiting", "Calls that wait for rate budget")
        self._share = self._gauge("platform_share", "Calls a second that this process may make")
        self._held = self._gauge("purchases_held", "Purchases that are not being submitted now")
        self._purchases = self._gauge(
            "purchases", "Purchases that have not ended, by state", "state", "reason"
        )
        self._oldest = self._gauge(
            "oldest_unresolved_seconds",
            "Age of a state's oldest purchase, 0: none",
            "state",
        )
        self._silence = self._gauge(
            "platform_event_age_seconds", "Since the last event of the platform", "transport"
        )
        self._caught_up = self._gauge(
            "caught_up_timestamp_seconds", "All events made before this time are stored"
        )
