"""What the store does for many purchases at once, for one: shorter to write in a test."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from consumer.store import leases, purchases, work
from consumer.store.leases import Lease
from consumer.store.work import Step, Work
from schemas.purchase import Purchase


def take(
    connection: Connection, purchase_id: str, owner: str, now: datetime, until: datetime
) -> Work | None:
    """Take or renew the lease and look what there is to do; `None` if another one has it."""
    found = work.take_all(connection, {purchase_id: None}, owner, now, until).get(purchase_id)
    if isinstance(found, purchases.Unreadable):
        raise found
    return found


def save(connection: Connection, step: Step, lease: Lease, sinks: Sequence[str]) -> Purchase:
    """Store what came of a fact, if the lease is still this one."""
    leases.check(connection, lease, step.now)
    work.save_all(connection, [step], sinks, step.now)
    return step.after


def replace(connection: Connection, purchase: Purchase, expected_version: int) -> None:
    """Store the next version of a purchase."""
    purchases.replace_all(connection, [(purchase, expected_version)])
