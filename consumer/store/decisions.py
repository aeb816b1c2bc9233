"""Decisions: which rule matched, on what evidence, and what else was considered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from consumer.store.tables import decisions


@dataclass(frozen=True, slots=True)
class Record:
    """A decision as stored. `version` is the purchase's after it."""

    purchase_id: str
    fact_seq: int
    at: datetime
    version: int
    state: str
    reason: str | None
    rule: str
    source: str
    evidence: Mapping[str, Any]
    alternatives: Sequence[str]


_RECORD = insert(decisions)


def record(connection: Connection, decided: Sequence[Record]) -> None:
    """Append decisions."""
    if decided:
        connection.execute(_RECORD, [_columns(decision) for decision in decided])


def _columns(decision: Record) -> dict[str, object]:
    return {
        "purchase_id": decision.purchase_id,
        "fact_seq": decision.fact_seq,
        "at": decision.at,
        "version": decision.version,
        "state": decision.state,
        "reason": decision.reason,
        "rule": decision.rule,
        "source": decision.source,
        "evidence": json.dumps(decision.evidence, default=str),
        "alternatives": json.dumps(list(decision.alternatives)),
    }


def of_purchase(connection: Connection, purchase_id: str) -> list[Record]:
    """All decisions about a purchase, oldest first."""
    columns = [c for c in decisions.c if c.name != "seq"]
    rows = connection.execute(
        select(*columns).where(decisions.c.purchase_id == purchase_id).order_by(decisions.c.seq)
    )
    found = []
    for row in rows.mappings():
        values = dict(row)
        for name in ("evidence", "alternatives"):
            values[name] = json.loads(values[name])
        found.append(Record(**values))
    return found
