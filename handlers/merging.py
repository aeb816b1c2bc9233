"""What becomes of a purchase that turns out to be the same as another one (DESIGN, Router).

`chain.merge` has the rule; it was applied when the key was claimed, and its result is in the fact.
"""

from handlers import declines
from handlers.decision import Decision, ignore
from handlers.moves import end
from schemas.commands import Planned, ReadOrder
from schemas.facts import KeyTaken, KeyWanted, Merge
from schemas.purchase import Purchase, Reason, State

SOURCE = "DESIGN, Router"


def on_linked(purchase: Purchase, fact: KeyTaken | KeyWanted) -> Decision:
    """Another purchase has, or wants, an identity key of this one."""
    other = fact.owner if isinstance(fact, KeyTaken) else fact.by
    seen = {"key": fact.key, "other": other}
    merge = _as_it_is_now(purchase, fact.key, fact.merge)
    match merge:
        case "none":
            return ignore(purchase, "chain.ended", SOURCE, **seen)
        case "person":
            known = declines.shared(purchase, fact.declined)
            waiting = end(known, State.REVIEW, Reason.MERGE, "order.checking")
            return Decision(waiting, "chain.merge", SOURCE, evidence=seen, alert="merge")
        case "yield":
            lost = end(purchase, State.LOST, Reason.SUPERSEDED, "order.failed")
            return Decision(lost, "chain.superseded", SOURCE, evidence=seen)
        case "stay":
            known = declines.shared(purchase, fact.declined)
            return _takes_over(known, fact.orders, seen)


def _as_it_is_now(purchase: Purchase, key: str, merge: Merge | None) -> Merge:
    """The result may be older than what was decided meanwhile: an order is never let go."""
    order = key.startswith("order/")  # two purchases may not ship the same one
    if purchase.state is State.LOST and merge != "stay":
        return "none"
    if purchase.state is State.ACCEPTED and not order and merge in (None, "yield"):
        return "none"
    submitted = bool(purchase.submissions or purchase.orders)
    if merge is None:
        return "person" if submitted else "yield"
    return "person" if merge == "yield" and submitted and not purchase.observed else merge


def _takes_over(purchase: Purchase, orders: tuple[str, ...], seen: dict[str, str]) -> Decision:
    """The other's keys are this one's now: read its orders, whatever they mean."""
    unknown = [id for id in orders if all(id != known.id for known in purchase.orders)]
    planned = tuple(
        Planned(key=f"{purchase.id}/order/{id}/merged", command=ReadOrder(order_id=id))
        for id in unknown
    )
    return Decision(purchase, "chain.took_over", SOURCE, planned, evidence=seen)
