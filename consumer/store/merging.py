"""Two purchases turn out to be one: the rule is `chain.merge`, here it is executed."""

from datetime import datetime

from sqlalchemy import Connection

from consumer.store import inbox, purchases
from consumer.store.inbox import Delivery, Key
from handlers import chain, declines
from schemas.facts import KeyTaken, KeyWanted, Origin
from schemas.purchase import Purchase


def merge(connection: Connection, newcomer: Purchase, key: Key, now: datetime) -> None:
    """A key that `newcomer` wants belongs to another purchase: move keys, tell both.

    Nothing to do if it does not any more. What is under way of the one that yields is void: a
    fact waits for it (I1). Raises `Unreadable`.
    """
    owner_id = purchases.owner_of(connection, key)
    owner = purchases.pinned(connection, owner_id) if owner_id else None
    if owner is None or owner.id == newcomer.id:
        return
    kind, value = key
    mine, theirs = chain.merge(newcomer, owner, order=kind == "order")
    if mine == "stay" and theirs == "none":
        # A lost purchase's id goes to its successor; its own checkouts stay with it.
        purchases.hand_over(connection, key, owner.id, newcomer.id)
        if kind == "upstream":
            return
    elif mine == "stay":
        purchases.hand_over_all(connection, owner.id, newcomer.id)
    elif theirs == "stay":
        purchases.hand_over_all(connection, newcomer.id, owner.id)
    name = f"{kind}/{value}"
    taken = KeyTaken(
        key=name,
        owner=owner.id,
        merge=mine,
        orders=chain.comes_with(owner, mine),
        declined=declines.told(owner),
    )
    wanted = KeyWanted(
        key=name,
        by=newcomer.id,
        merge=theirs,
        orders=chain.comes_with(newcomer, theirs),
        declined=declines.told(newcomer),
    )
    _tell(connection, newcomer.id, f"taken/{name}", taken, now)
    _tell(connection, owner.id, f"wanted/{name}/{newcomer.id}", wanted, now)


def _tell(
    connection: Connection, id: str, slot: str, fact: KeyTaken | KeyWanted, now: datetime
) -> None:
    body = fact.model_dump_json(by_alias=True).encode()
    delivery = Delivery(
        *(Origin.COMMAND, f"{id}/{slot}", fact.kind, "internal", body), purchase_id=id
    )
    inbox.append(connection, [delivery], now)
