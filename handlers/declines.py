"""Which sources were declined, and how often each may still be chosen (I9, PLATFORM §5.8).

What a merchant charged is known from reading the checkout that was refused. Until then nothing
else is read of the purchase, so nothing is attached, submitted or the merchant's turn.
"""

from collections.abc import Iterable

from pydantic import ValidationError

from handlers.decision import Decision
from handlers.moves import change, read, with_link
from handlers.policy import Policy
from handlers.sight import reading_in
from handlers.tables import remedy_for
from schemas.base import JsonObject
from schemas.platform import Checkout
from schemas.purchase import Condition, Declined, Purchase, State, Submission
from schemas.results import Reading, Rejected


def noted(purchase: Purchase, source_id: str, again: int) -> Purchase:
    """The purchase with this source declined, and for the first time perhaps not for good."""
    left = {entry.source_id: entry.again - 1 for entry in purchase.declined}
    allowed = min(left.get(source_id, again), again)
    others = tuple(entry for entry in purchase.declined if entry.source_id != source_id)
    return change(purchase, declined=(*others, Declined(source_id=source_id, again=allowed)))


def told(purchase: Purchase) -> tuple[Declined, ...]:
    """What another purchase of the same shopper learns; a lost one was another attempt to buy."""
    return () if purchase.state is State.LOST else purchase.declined


def shared(purchase: Purchase, entries: Iterable[Declined]) -> Purchase:
    """The purchase with what was declined in another one that turned out to be the same."""
    known = {entry.source_id: entry for entry in purchase.declined}
    for entry in entries:
        least = min(known.get(entry.source_id, entry), entry, key=lambda one: one.again)
        known[entry.source_id] = least
    return change(purchase, declined=tuple(known.values()))


def refused(purchase: Purchase, checkout_id: str, rejection: Rejected, policy: Policy) -> Purchase:
    """A 409 that somebody else received: the checkout is dead (I3), its source to be read."""
    again = remedy_for(purchase, rejection, policy.table).again
    return with_link(purchase, checkout_id, condition=Condition.DEAD, unread=again)


def source_in(reading: Reading) -> tuple[str | None, bool]:
    """The primary source of a checkout as read, and whether it is a saved one."""
    source = reading.source or {}
    if id := source.get("id"):
        return str(id), source.get("reusable") is True
    try:
        primary = Checkout.model_validate(reading.checkout).primary_source
    except ValidationError:
        return None, False
    return (primary.id if primary else None), False


def on_read(purchase: Purchase, checkout_id: str, body: JsonObject) -> Decision:
    """A former checkout was read for its source; now what the reading was wanted for."""
    known = learnt(purchase, checkout_id, reading_in(body))
    reading, commands = read(known)
    seen = {"checkout": checkout_id, "declined": [entry.source_id for entry in known.declined]}
    return Decision(reading, "reading.former_source", "I9", commands, evidence=seen)


def learnt(purchase: Purchase, checkout_id: str, reading: Reading) -> Purchase:
    """The purchase with the source of a refused checkout declined, if nobody knew it yet.

    What the shopper has chosen since stays chosen: the gate knows what to think of it.
    """
    link = next((one for one in purchase.chain if one.checkout_id == checkout_id), None)
    if link is None or link.unread is None:
        return purchase
    known = with_link(purchase, checkout_id, unread=None)
    source_id, reusable = source_in(reading)
    if source_id is None or link.condition is not Condition.DEAD:
        return known
    known = noted(known, source_id, link.unread if reusable else 0)
    return with_submission(known, checkout_id, source_id=source_id)


def last_submission(purchase: Purchase, checkout_id: str) -> Submission | None:
    """The latest submission of this checkout."""
    entries = (s for s in reversed(purchase.submissions) if s.checkout_id == checkout_id)
    return next(entries, None)


def with_submission(purchase: Purchase, checkout_id: str, **fields: object) -> Purchase:
    """The purchase with these fields of the latest submission of this checkout changed."""
    last = last_submission(purchase, checkout_id)
    entries = tuple(
        entry.model_copy(update=fields) if entry is last else entry
        for entry in purchase.submissions
    )
    return change(purchase, submissions=entries)
