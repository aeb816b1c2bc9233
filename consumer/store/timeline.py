"""A purchase's story: facts, decisions, commands and outcomes, for the API and the CLI.

It holds the platform's own words and personal data: for operators and readers, never for shops.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from consumer.observe.masking import without_client_secrets
from consumer.store import decisions, entries, purchases
from consumer.store.tables import commands, deliveries, outcomes

Item = dict[str, Any]
# At one moment: what happened, what was decided, what follows from it.
_ORDER = {"fact": 0, "decision": 1, "command": 2, "outcome": 3}


def timeline(connection: Connection, purchase_id: str) -> list[Item] | None:
    """All that is stored about a purchase, oldest first; `None` if there is no such purchase.

    Every item has `at` and `kind`. A decision names its fact by `factSeq` and the commands and
    outcomes that follow have its `at`. Client secrets are removed.
    """
    if purchases.load(connection, purchase_id) is None:
        return None
    found = [
        *_facts(connection, purchase_id),
        *_decisions(connection, purchase_id),
        *_commands(connection, purchase_id),
        *_outcomes(connection, purchase_id),
    ]
    found.sort(key=lambda item: (item["at"], _ORDER[item["kind"]]))  # stable: stored order stays
    return [without_client_secrets(item | {"at": _written(item["at"])}) for item in found]


def _facts(connection: Connection, purchase_id: str) -> Iterator[Item]:
    for entry in entries.of_purchase(connection, purchase_id):
        yield {
            "at": entry.at,
            "kind": "fact",
            "seq": entry.seq,
            "origin": entry.origin.value,
            "id": entry.id,
            "type": entry.type,
            "transport": entry.transport,
            "status": entry.status,
            "reason": entry.reason,
            "body": readable(entry.body),
        }


def _decisions(connection: Connection, purchase_id: str) -> Iterator[Item]:
    for decision in decisions.of_purchase(connection, purchase_id):
        yield {
            "at": decision.at,
            "kind": "decision",
            "factSeq": decision.fact_seq,
            "version": decision.version,
            "state": decision.state,
            "reason": decision.reason,
            "rule": decision.rule,
            "source": decision.source,
            "evidence": dict(decision.evidence),
            "alternatives": list(decision.alternatives),
        }


def _commands(connection: Connection, purchase_id: str) -> Iterator[Item]:
    rows = connection.execute(
        select(commands).where(commands.c.purchase_id == purchase_id).order_by(commands.c.seq)
    )
    for row in rows:
        yield {
            "at": row.at,
            "kind": "command",
            "key": row.key,
            "command": row.kind,
            "status": row.status,
            "attempt": row.attempt,
            "due": _written(row.due),
            "deadline": _written(row.deadline),
            "ended": _written(row.ended),
            "body": json.loads(row.body),
        }


def _outcomes(connection: Connection, purchase_id: str) -> Iterator[Item]:
    sent: dict[str, list[Item]] = {}
    for row in connection.execute(
        select(deliveries).where(deliveries.c.purchase_id == purchase_id).order_by("sink")
    ):
        delivery = {"sink": row.sink, "status": row.status, "attempts": row.attempts}
        sent.setdefault(row.outcome_id, []).append(delivery | {"reason": row.reason})
    rows = connection.execute(
        select(outcomes).where(outcomes.c.purchase_id == purchase_id).order_by(outcomes.c.sequence)
    )
    for row in rows:
        yield {
            "at": row.at,
            "kind": "outcome",
            "id": row.id,
            "type": row.type,
            "sequence": row.sequence,
            "deliveries": sent.get(row.id, []),
        }


def readable(body: bytes) -> Any:
    """A stored body as JSON without client secrets, or as text if it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = body.decode("utf-8", "replace")
    return without_client_secrets(value)


def _written(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
