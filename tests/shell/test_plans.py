"""The queries that run all the time use their indexes, on tables with many rows that are over."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from consumer.store import (
    announcing,
    commands,
    decisions,
    entries,
    forgetting,
    inbox,
    leases,
    links,
    outcomes,
    parking,
    purchases,
    retention,
)
from consumer.store.opening import AnyEngine, open_engine, run_alone
from schemas.facts import Origin
from tests.services.postgres import Postgres

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BIG = "inbox|purchases|commands|keys|links|leases|outcomes|deliveries|decisions"
ROWS = 20_000
FILL = f"""
INSERT INTO inbox (origin, id, transport, type, digest, at, body, status, purchase_id)
  SELECT 'platform', 'e' || n, 'webhook', 'order.accepted', 'd', TIMESTAMPTZ '2025-06-01', '', CASE
    WHEN n % 500 = 0 THEN 'routed' WHEN n % 500 = 1 THEN 'new' WHEN n % 500 = 2 THEN 'dead'
    ELSE 'done' END, 'pur_' || lpad(to_hex(n), 28, '0') FROM generate_series(1, {ROWS}) n;
INSERT INTO purchases (id, upstream_id, state, checkout_id, version, schema_number, document,
    created_at, updated_at, purged_at)
  SELECT 'pur_' || lpad(to_hex(n), 28, '0'), 'web-' || n, CASE WHEN n % 100 = 0 THEN 'held'
    ELSE 'accepted' END, 'c' || n, 1, 1, repeat('x', 1500), TIMESTAMPTZ '2025-06-01',
    TIMESTAMPTZ '2025-06-01', CASE WHEN n % 100 <> 0 THEN TIMESTAMPTZ '2025-09-01' END
  FROM generate_series(1, {ROWS}) n;
INSERT INTO keys SELECT 'checkout', 'c' || n, 'pur_' || lpad(to_hex(n), 28, '0')
  FROM generate_series(1, {ROWS}) n;
INSERT INTO links SELECT 'customer', 'u' || n / 3, 'pur_' || lpad(to_hex(n), 28, '0')
  FROM generate_series(1, {ROWS}) n;
INSERT INTO leases SELECT 'purchase/pur_' || lpad(to_hex(n), 28, '0'), 'o', 1,
    TIMESTAMPTZ '2025-06-01' FROM generate_series(1, {ROWS}) n;
INSERT INTO commands (key, purchase_id, kind, body, status, attempt, at, due)
  SELECT 'k' || n, 'pur_' || lpad(to_hex(n), 28, '0'), CASE WHEN n % 2 = 0 THEN 'wake'
    ELSE 'read_order' END, '{{}}', CASE WHEN n % 200 = 0 THEN 'planned' WHEN n % 2000 = 1
    THEN 'sending' ELSE 'ended' END, 1, TIMESTAMPTZ '2025-06-01',
    TIMESTAMPTZ '2025-06-01' + n * INTERVAL '1 hour' FROM generate_series(1, {ROWS}) n;
INSERT INTO decisions (purchase_id, fact_seq, at, version, state, rule, source, evidence,
    alternatives)
  SELECT 'pur_' || lpad(to_hex(n), 28, '0'), n, TIMESTAMPTZ '2025-06-01', 1, 'held', 'r', 's',
    '{{}}', '[]' FROM generate_series(1, {ROWS}) n;
INSERT INTO outcomes SELECT 'o' || n, 'pur_' || lpad(to_hex(n), 28, '0'), 1, 't',
    TIMESTAMPTZ '2025-06-01', '{{}}' FROM generate_series(1, {ROWS}) n;
INSERT INTO deliveries SELECT 'o' || n, 'webhook', 'pur_' || lpad(to_hex(n), 28, '0'), 1,
    CASE WHEN n % 500 = 0 THEN 'waiting' ELSE 'sent' END, 1, TIMESTAMPTZ '2025-06-01'
    FROM generate_series(1, {ROWS}) n;
"""
ONE = f"pur_{500:028x}"
SOME = [f"pur_{500 * n:028x}" for n in range(1, 41)]
LEASES = [leases.name(id) for id in SOME]
MARKS = [inbox.Mark(seq, "done") for seq in range(500, 20_000, 500)]
LEASE = leases.Lease(f"purchase/{ONE}", "o", 1, NOW)
DAY = timedelta(days=1)

HOT: dict[str, Callable[[Connection], Any]] = {
    "route": lambda c: entries.unrouted(c, 100),
    "facts of a purchase": lambda c: entries.undecided(c, ONE),
    "waiting purchases": lambda c: entries.waiting_purchases(c, NOW, 64, "me"),
    "unfinished": lambda c: commands.unfinished(c, NOW, 64, "me"),
    "timer due": lambda c: commands.timer_due(c, NOW),
    "due next": lambda c: commands.due_next(c, NOW),
    "any unrouted": entries.any_unrouted,
    "facts of many": lambda c: entries.undecided_of(c, SOME, 100),
    "next due of many": lambda c: commands.next_due_of(c, SOME, NOW),
    "acquire many": lambda c: leases.acquire_all(
        c, [leases.name(id) for id in SOME], "o", NOW, NOW
    ),
    "load many": lambda c: purchases.load_all(c, SOME),
    "pin many": lambda c: purchases.pinned_all(c, SOME),
    "move many facts": lambda c: inbox.move(
        c, [inbox.Mark(n, "done") for n in (500, 1000)], "routed"
    ),
    "owners of many keys": lambda c: purchases.owners(c, [("checkout", "c5"), ("order", "o5")]),
    "unpark": lambda c: parking.unpark(c, [("checkout", "c5"), ("order", "o5")]),
    "to be announced": announcing.any_waiting,
    "abandon": lambda c: commands.abandon(c, {ONE: 1}, NOW),
    "acquire": lambda c: leases.acquire(c, LEASE.name, "me", NOW, NOW),
    "release": lambda c: leases.release(c, LEASE, NOW),
    "exists": lambda c: purchases.exists(c, ONE),
    "find": lambda c: purchases.find(c, [("checkout", "c5")]),
    "by upstream id": lambda c: purchases.listed(c, limit=10, upstream_id="nobody"),
    "linked": lambda c: links.unresolved(c, [("customer", "u5")]),
    "deliveries": lambda c: outcomes.due(c, "webhook", NOW, 16),
    "undelivered": outcomes.waiting,
    "decided": lambda c: entries.decided(c, Origin.PLATFORM, "e5"),
    "dead letters": lambda c: entries.dead(c, 20),
    "depth": entries.depth,
    "last heard": entries.last_heard,
    "parked": lambda c: parking.any_since(c, NOW),
    "claimed": lambda c: parking.claimed(c, 100),
    "story": lambda c: decisions.of_purchase(c, ONE),
    "forget": forgetting.next_request,
    "unclean": lambda c: forgetting.unclean(c, 50),
    "purge bodies": lambda c: retention.purge_bodies(c, NOW, NOW - 400 * DAY, ""),
    "drop facts": lambda c: retention.drop_facts(c, NOW - 400 * DAY, 0),
    "drop purchases": lambda c: retention.drop_purchases(c, NOW - 400 * DAY, ""),
}


@pytest.fixture(scope="module")
def full(postgres: Postgres) -> AnyEngine:
    """A database in which nearly all is over."""
    url = postgres.fresh()
    for statement in FILL.split(";\n"):
        if statement.strip():
            postgres.do(statement, url)
    postgres.do("VACUUM ANALYZE", url)
    return open_engine(url)


def plans(connection: Connection, job: Callable[[Connection], Any]) -> list[str]:
    """The plan of every statement that the job runs."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        assert not many
        seen.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        job(connection)
    finally:
        event.remove(connection, "before_cursor_execute", note)
    connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
    found = []
    for statement, parameters in seen:
        rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        found.append("\n".join(row[0] for row in rows))
    return found


@pytest.mark.parametrize("name", HOT)
def test_what_is_asked_for_often_never_reads_a_whole_table(full: AnyEngine, name: str) -> None:
    found = run_alone(full, lambda c: plans(c, HOT[name]))
    assert found
    for plan in found:
        assert not re.search(rf"Seq Scan on ({BIG})\b", plan), plan


def test_the_plan_of_a_query_without_its_index_is_told_apart(full: AnyEngine) -> None:
    def search(connection: Connection) -> Any:
        return connection.execute(text("SELECT seq FROM inbox WHERE digest = 'x'")).all()

    [plan] = run_alone(full, lambda c: plans(c, search))
    assert "Seq Scan on inbox" in plan
