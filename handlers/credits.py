"""Store credit: noted on one checkout, put on the next, given back at the end (PLATFORM §3.5).

All credits of a session come before its primary source: after a single-use one none can be added.
What the shopper gave is never put on a session twice, nor more of it than there is to pay.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from handlers.decision import Decision
from handlers.gate import CREDIT
from handlers.moves import change, read, step
from handlers.remedies.sessions import BROKEN, WAITING
from handlers.sight import Sight
from schemas.commands import AttachSource, CreateCredit, DetachSource, Planned
from schemas.facts import Fact, KeyTaken, KeyWanted
from schemas.money import minor_units
from schemas.platform import Checkout, Source
from schemas.purchase import Condition, Credit, Purchase, State

DEFINITE = frozenset({"rejected", "unavailable"})


def noted(purchase: Purchase, checkout: Checkout) -> Purchase:
    """The purchase with the credits that its open checkout shows.

    One that was there and is not any more was taken away by the storefront. One that the
    storefront put there itself takes the place of ours that is still to come.
    """
    seen = {s.id: s for s in checkout.payment.sources if s.type == CREDIT and s.amount}
    known = {credit.source_id for credit in purchase.credits}
    strangers = [source for id, source in seen.items() if id not in known]
    kept: list[Credit] = []
    for credit in purchase.credits:
        if credit.source_id in seen:
            kept.append(_with(credit, attached=True))
        elif credit.attached:
            continue
        elif stand_in := next((s for s in strangers if _same(credit, s)), None):
            strangers.remove(stand_in)
            kept.append(_with(credit, source_id=stand_in.id, made=stand_in.amount, attached=True))
        else:
            kept.append(credit)
    if strangers:  # the storefront sees to it
        kept = [credit for credit in kept if credit.attached or credit.refused]
    return change(purchase, credits=(*kept, *_numbered(purchase, strangers)))


def _same(credit: Credit, source: Source) -> bool:
    return not credit.refused and credit.amount == source.amount


def _numbered(purchase: Purchase, sources: Iterable[Source]) -> Iterable[Credit]:
    first = max((credit.number for credit in purchase.credits), default=0) + 1
    for number, source in enumerate(sources, first):
        yield Credit(
            number=number,
            amount=source.amount or 0.0,
            upstream_id=source.upstream_id,
            owner=source.owner,
            source_id=source.id,
            made=source.amount,
            attached=True,
        )


def _with(credit: Credit, **fields: Any) -> Credit:
    return credit.model_copy(update=fields)


def with_credit(purchase: Purchase, number: int, **fields: Any) -> Purchase:
    """The purchase with these fields of one credit changed."""
    return change(
        purchase,
        credits=tuple(
            _with(credit, **fields) if credit.number == number else credit
            for credit in purchase.credits
        ),
    )


def moved(purchase: Purchase) -> Purchase:
    """On a new checkout every credit is still to be made."""
    return change(
        purchase,
        credits=tuple(
            _with(c, source_id=None, made=None, attached=False) for c in purchase.credits
        ),
    )


def coming(purchase: Purchase) -> Credit | None:
    """The credit that is to be put on the current session next."""
    waiting = (c for c in purchase.credits if not c.attached and not c.refused)
    return next(waiting, None)


def refuse_all(purchase: Purchase) -> Purchase:
    """An order paid by credit alone was refused: it is not tried again by itself (I9)."""
    return change(purchase, credits=tuple(_with(c, refused=True) for c in purchase.credits))


def acknowledged(purchase: Purchase) -> tuple[Credit, ...]:
    """The credits that remain when the shopper confirms to go on without the refused ones."""
    return tuple(credit for credit in purchase.credits if not credit.refused)


def restore(purchase: Purchase, sight: Sight) -> Decision | None:
    """The next step towards having all credits on the current session, as just read."""
    credit, session = coming(purchase), sight.session
    if credit is None or session.id is None or session.state in WAITING | BROKEN:
        return None
    if sight.checkout.primary_source and not (sight.source and sight.source.reusable):
        return refuse(purchase, credit, "credit.after_primary", {})
    currency = sight.total.currency
    amount = min(minor_units(credit.amount, currency), _left(purchase, sight))
    seen = {"credit": credit.number, "amount": _major(amount, credit, currency)}
    if amount <= 0:
        others = tuple(c for c in purchase.credits if c is not credit)
        reading, commands = read(change(purchase, credits=others))
        rule, given = "credit.not_needed", {"credit": credit.number}
        return Decision(reading, rule, "PLATFORM §3.2", commands, evidence=given)
    if credit.source_id:
        return attach(purchase, credit.source_id, seen)
    if credit.made is not None and amount >= minor_units(credit.made, currency):
        return refuse(purchase, credit, "credit.too_large", seen)
    command = CreateCredit(
        session_id=session.id,
        amount=_major(amount, credit, currency),
        upstream_id=credit.upstream_id,
        owner=credit.owner,
    )
    key = f"{purchase.id}/{len(purchase.chain)}/credit/{credit.number}/{amount}"
    creating, commands = step(purchase, command, key=key)
    return Decision(creating, "credit.create", "PLATFORM §3.5", commands, evidence=seen)


def _left(purchase: Purchase, sight: Sight) -> int:
    """What the credits on the session leave to be paid, in minor units."""
    currency = sight.total.currency
    there = (s.amount or 0.0 for s in sight.checkout.payment.sources if s.type == CREDIT)
    return minor_units(sight.total.amount, currency) - sum(
        minor_units(amount, currency) for amount in there
    )


def _major(amount: int, credit: Credit, currency: str) -> float:
    """In major units; unchanged where all of the credit fits."""
    whole = minor_units(credit.amount, currency)
    if amount == whole:
        return credit.amount
    return round(credit.amount * amount / whole, 6)


def attach(purchase: Purchase, source_id: str, seen: dict[str, Any]) -> Decision:
    """Attach a credit that was made for the current session."""
    command = AttachSource(checkout_id=purchase.current.checkout_id, source_id=source_id)
    key = f"{purchase.id}/{len(purchase.chain)}/attach/{source_id}"
    attaching, commands = step(purchase, command, key=key)
    return Decision(attaching, "credit.attach", "PLATFORM §3.5", commands, evidence=seen)


def refuse(purchase: Purchase, credit: Credit, rule: str, seen: dict[str, Any]) -> Decision:
    """It can't be had on this session: it goes, visibly, and the gate asks the shopper."""
    without = with_credit(purchase, credit.number, refused=True, source_id=None)
    reading, commands = read(without)
    given = {"credit": credit.number, "given": credit.amount}
    return Decision(reading, rule, "PLATFORM §3.3", commands, evidence=given | seen)


def releasable(purchase: Purchase, checkout_id: str) -> bool:
    """Whether a checkout's credits may be given back: nothing can have become of it (I2, I3).

    It is the open one of a lost purchase, or one that we replaced without a submission; of an
    order of it nobody has told.
    """
    link = next((one for one in purchase.chain if one.checkout_id == checkout_id), None)
    if link is None or link.ordered or any(o.checkout_id == checkout_id for o in purchase.orders):
        return False
    lost = link.condition is Condition.OPEN and purchase.state is State.LOST
    sent = [s for s in purchase.submissions if s.checkout_id == checkout_id]
    alive = all(s.outcome in DEFINITE and s.status != 409 for s in sent)
    settled = alive and purchase.unsettled_since is None
    return settled and (lost or link.condition is Condition.SUPERSEDED)


def release(purchase: Purchase, checkout_id: str, source_ids: Iterable[str]) -> tuple[Planned, ...]:
    """Detach these: a credit that is detached is cancelled, and its hold ends (PLATFORM §3.3)."""
    if not releasable(purchase, checkout_id):
        return ()
    return tuple(
        Planned(
            key=f"{purchase.id}/detach/{id}",
            command=DetachSource(checkout_id=checkout_id, source_id=id),
        )
        for id in source_ids
    )


def attached_ids(purchase: Purchase) -> tuple[str, ...]:
    """The sources of the credits on the current checkout."""
    return tuple(c.source_id for c in purchase.credits if c.attached and c.source_id)


def given_back(before: Purchase, fact: Fact, decision: Decision) -> Decision:
    """The decision; if it ends the purchase as lost, with the credits released.

    Not where the checkout turned out to be another purchase's: that one may need them.
    """
    after = decision.purchase
    shared = isinstance(fact, KeyTaken | KeyWanted) and not fact.key.startswith("upstream/")
    if before.state is State.LOST or after.state is not State.LOST or shared:
        return decision
    more = release(after, after.current.checkout_id, attached_ids(after))
    return replace(decision, commands=(*decision.commands, *more)) if more else decision
