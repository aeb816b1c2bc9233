"""Purchases and their identity keys."""

import json
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import reduce

from pydantic import ValidationError
from sqlalchemy import Connection, bindparam, insert, select, update

from consumer.store import dialects, inbox, leases, links, parking, replicas
from consumer.store.engine import Raced
from consumer.store.inbox import Key
from consumer.store.tables import keys, purchases
from schemas.purchase import SCHEMA_NUMBER, Purchase


class Moved(Exception):
    """Somebody else changed the purchase first; load it again."""


class Unreadable(Exception):
    """The stored document is not one that this version can read; `str()` is the purchase's id."""


def new_id(now: datetime) -> str:
    """A purchase id; later ids sort higher."""
    return f"pur_{int(now.timestamp() * 1000):012x}{secrets.token_hex(8)}"


class TooNew(Unreadable):
    """A newer version wrote the document; a process of that version can read it."""


_LOAD = select(purchases.c.document).where(purchases.c.id == bindparam("purchase"))
_PIN = _LOAD.with_for_update(read=True)


def load(connection: Connection, purchase_id: str) -> Purchase | None:
    """The purchase, or `None`. Raises `Unreadable`."""
    document = connection.scalar(_LOAD, {"purchase": purchase_id})
    return _read(purchase_id, document) if document else None


_LOAD_ALL = dialects.lookup(
    lambda lot: select(purchases.c.id, purchases.c.document).where(lot.has(purchases.c.id))
)
_PIN_ALL = dialects.lookup(
    lambda lot: (
        select(purchases.c.id, purchases.c.document)
        .where(lot.has(purchases.c.id))
        .order_by(purchases.c.id)
        .with_for_update(read=True)
    )
)


def load_all(connection: Connection, ids: Collection[str]) -> dict[str, Purchase | Unreadable]:
    """These purchases, where they exist; what can't be read stands there as its error."""
    return _read_all(_LOAD_ALL(connection, ids))


def pinned_all(connection: Connection, ids: Collection[str]) -> dict[str, Purchase | Unreadable]:
    """The same, as `pinned`."""
    return _read_all(_PIN_ALL(connection, ids))


def _read_all(rows: Iterable[tuple[str, str]]) -> dict[str, Purchase | Unreadable]:
    found: dict[str, Purchase | Unreadable] = {}
    for id, document in rows:
        try:
            found[id] = _read(id, document)
        except Unreadable as error:
            found[id] = error
    return found


def pinned(connection: Connection, purchase_id: str) -> Purchase | None:
    """The same, for those who tell a purchase something because of what it is now.

    It stays so until the end of the transaction: whoever changes it next has been told. Raises
    `Unreadable`.
    """
    document = connection.scalar(_PIN, {"purchase": purchase_id})
    return _read(purchase_id, document) if document else None


def _read(purchase_id: str, document: str) -> Purchase:
    try:
        purchase = Purchase.model_validate_json(document)
    except ValidationError as error:
        raise (TooNew if _number(document) > SCHEMA_NUMBER else Unreadable)(purchase_id) from error
    if purchase.schema_number > SCHEMA_NUMBER:
        raise TooNew(purchase_id)
    return purchase


def _number(document: str) -> int:
    """The number of a document that can't be read; 0 where even that can't."""
    try:
        found = json.loads(document)["schemaNumber"]
    except (ValueError, KeyError, TypeError):
        return 0
    return found if isinstance(found, int) else 0


_EXISTS = select(purchases.c.id).where(purchases.c.id == bindparam("purchase"))


def exists(connection: Connection, purchase_id: str) -> bool:
    """Whether there is such a purchase."""
    return connection.scalar(_EXISTS, {"purchase": purchase_id}) is not None


_INSERT = insert(purchases)


def insert_new(connection: Connection, purchase: Purchase) -> None:
    """Store a purchase that did not exist and claim its keys. Raises `Raced` if one is taken."""
    connection.execute(_INSERT, _columns(purchase, replicas.writes(connection)))
    leases.prepare(connection, leases.name(purchase.id))
    if claim(connection, [purchase]):
        raise Raced(purchase.id)
    links.note(connection, purchase)


_REPLACE = dialects.update_lot(
    purchases,
    where=("id", "version"),
    values=[column.name for column in purchases.c if column.name not in ("id", "created_at")],
)


def replace_all(connection: Connection, moved: Sequence[tuple[Purchase, int]]) -> None:
    """Store the next version of each purchase, if it still has the expected one.

    Raises `Moved` if any has not; then nothing of the transaction may be kept.
    """
    dialects.lock_in_order(connection, purchases.c.id, [purchase.id for purchase, _ in moved])
    rows = [_next(connection, purchase) | _place(purchase, version) for purchase, version in moved]
    if _REPLACE(connection, rows) != len(rows):
        raise Moved(", ".join(purchase.id for purchase, _ in moved))


def rewrite(connection: Connection, purchase: Purchase, purged_at: datetime) -> None:
    """Store the same version of a purchase without what has been taken out of it."""
    columns = _next(connection, purchase) | {"purged_at": purged_at}
    _REPLACE(connection, [columns | _place(purchase, purchase.version)])


def _place(purchase: Purchase, version: int) -> dict[str, object]:
    return {"of_id": purchase.id, "of_version": version}


def _next(connection: Connection, purchase: Purchase) -> dict[str, object]:
    """The columns of a document that is written again: what it holds of a newer one, it keeps."""
    return _columns(purchase, max(purchase.schema_number, replicas.writes(connection)))


def _columns(purchase: Purchase, number: int) -> dict[str, object]:
    purchase = purchase.model_copy(update={"schema_number": number})
    return {
        "id": purchase.id,
        "upstream_id": purchase.upstream_id,
        "state": purchase.state.value,
        "reason": purchase.reason.value if purchase.reason else None,
        "checkout_id": purchase.current.checkout_id,
        "order_id": purchase.order.id if purchase.order else None,
        "version": purchase.version,
        "schema_number": purchase.schema_number,
        "document": purchase.model_dump_json(by_alias=True),
        "created_at": purchase.created_at,
        "updated_at": purchase.updated_at,
        "purged_at": None,
    }


def identity(purchase: Purchase) -> list[Key]:
    """The keys that belong to one purchase alone."""
    found: list[Key] = [("upstream", purchase.upstream_id)]
    for link in purchase.chain:
        found.append(("checkout", link.checkout_id))
        if link.session_id:
            found.append(("session", link.session_id))
    return found + [("order", order.id) for order in purchase.orders]


_CLAIM = dialects.insert_lot(keys, unique=("kind", "value"), returning=("purchase_id",))
_KEYS = dialects.lookup(
    lambda lot: select(keys.c.kind, keys.c.value, keys.c.purchase_id).where(
        lot.has(keys.c.purchase_id)
    )
)


def claim(connection: Connection, claimants: Sequence[Purchase]) -> list[tuple[Purchase, Key]]:
    """Claim the purchases' keys, of each as it was at any time, and wake the facts that waited.

    Returns the keys that belong to other purchases, each with who wants it: `merging.merge` them.
    """
    held = {tuple(row) for row in _KEYS(connection, [purchase.id for purchase in claimants])}
    wanted = {
        (*key, purchase.id): purchase
        for purchase in claimants
        for key in identity(purchase)
        if (*key, purchase.id) not in held
    }
    rows = [_key_row((kind, value), id) for kind, value, id in wanted]
    fresh = {tuple(row) for row in _CLAIM(connection, rows)} if rows else set()
    parking.unpark(connection, [(kind, value) for kind, value, _ in fresh])
    return [(wanted[kind, value, id], (kind, value)) for kind, value, id in wanted.keys() - fresh]


def add_key(connection: Connection, key: Key, purchase_id: str) -> None:
    """Claim one more key and wake the facts that waited for it. Raises `Raced` if it is taken."""
    if not _CLAIM(connection, [_key_row(key, purchase_id)]):
        raise Raced(purchase_id)
    parking.unpark(connection, [key])


def _key_row(key: Key, purchase_id: str) -> dict[str, object]:
    return {"kind": key[0], "value": key[1], "purchase_id": purchase_id}


def hand_over(connection: Connection, key: Key, giver: str, taker: str) -> None:
    """Give a key to another purchase: a lost one's upstream id to its successor.

    Raises `Raced` if it is the giver's no more.
    """
    theirs = (keys.c.kind == key[0]) & (keys.c.value == key[1]) & (keys.c.purchase_id == giver)
    if connection.execute(update(keys).where(theirs).values(purchase_id=taker)).rowcount != 1:
        raise Raced(taker)


def hand_over_all(connection: Connection, giver: str, taker: str) -> None:
    """Give all keys of one purchase to another."""
    connection.execute(update(keys).where(keys.c.purchase_id == giver).values(purchase_id=taker))


_OWNER = select(keys.c.purchase_id).where(
    keys.c.kind == bindparam("kind"), keys.c.value == bindparam("value")
)


def owner_of(connection: Connection, key: Key) -> str | None:
    """The purchase that a key belongs to."""
    return connection.scalar(_OWNER, {"kind": key[0], "value": key[1]})


_OWNERS = dialects.lookup(
    lambda lot: select(keys).where(keys.c.kind.in_(inbox.KINDS), lot.has(keys.c.value))
)


def owners(connection: Connection, wanted: Sequence[Key]) -> dict[Key, str]:
    """The purchases that these keys belong to."""
    rows = _OWNERS(connection, sorted({value for _, value in wanted})) if wanted else ()
    found = {(row.kind, row.value): row.purchase_id for row in rows}
    return {key: found[key] for key in wanted if key in found}


def find(connection: Connection, candidates: Sequence[Key]) -> str | None:
    """The purchase of the first key that belongs to one."""
    owners = (owner_of(connection, key) for key in candidates)
    return next((owner for owner in owners if owner), None)


def listed(
    connection: Connection,
    *,
    limit: int,
    state: str | None = None,
    checkout_id: str | None = None,
    upstream_id: str | None = None,
    order_id: str | None = None,
    starting_after: str | None = None,
) -> list[Purchase]:
    """Purchases, newest first; the filters are joined by and. Raises `Unreadable`."""
    query = (
        select(purchases.c.id, purchases.c.document).order_by(purchases.c.id.desc()).limit(limit)
    )
    conditions = []
    if state:
        conditions.append(purchases.c.state == state)
    if upstream_id:
        conditions.append(purchases.c.upstream_id == upstream_id)
    if starting_after:
        conditions.append(purchases.c.id < starting_after)
    for kind, value in (("checkout", checkout_id), ("order", order_id)):
        if value:
            conditions.append(purchases.c.id == (owner_of(connection, (kind, value)) or ""))
    query = reduce(lambda q, condition: q.where(condition), conditions, query)
    return [_read(row.id, row.document) for row in connection.execute(query)]
