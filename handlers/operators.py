"""What a person decides: the way out of `review` or `unknown` (DESIGN, HTTP)."""

from handlers import submission, unknown
from handlers.decision import Decision, Moment, ignore
from handlers.moves import change, check, end
from handlers.orders import live_orders
from handlers.policy import Policy
from handlers.refusals import refusal
from schemas.commands import Planned, ReadOrder
from schemas.facts import OperatorDecided
from schemas.purchase import Purchase, Reason, State


def on_decided(
    purchase: Purchase, fact: OperatorDecided, moment: Moment, policy: Policy
) -> Decision:
    """A person's way out of `review` or `unknown`."""
    if refused := refusal(purchase, fact):
        return ignore(purchase, "call.not_now", "DESIGN, HTTP", detail=refused.detail)
    request, seen = fact.request, {"note": fact.request.note}
    match request.decision:
        case "stop":
            stopped = end(purchase, State.LOST, Reason.STOPPED, "order.failed")
            return Decision(stopped, "operator.stop", "DESIGN, HTTP", evidence=seen)
        case "adopt_order":
            return _adopt(purchase, request.order_id, seen)
        case "no_order" if purchase.verdict:
            return unknown.proven(purchase, moment, policy)
        case "no_order":
            settled = change(purchase, unsettled_since=None, repeats=0)
            return _resumed(settled, "operator.no_order", moment, seen)
        case "resume":
            return _resumed(purchase, "operator.resume", moment, seen)


def _adopt(purchase: Purchase, order_id: str | None, seen: dict[str, str]) -> Decision:
    """Read the chosen order, after those that are thought to be its rivals."""
    if order_id is None:
        return ignore(purchase, "operator.no_order_named", "DESIGN, HTTP")
    rivals = [order.id for order in live_orders(purchase) if order.id != order_id]
    planned = tuple(
        Planned(
            key=f"{purchase.id}/order/{id}/adopt/{purchase.version}",
            command=ReadOrder(order_id=id),
        )
        for id in (*rivals, order_id)
    )
    return Decision(purchase, "operator.adopt", "DESIGN, HTTP", planned, evidence=seen)


def _resumed(purchase: Purchase, rule: str, moment: Moment, seen: dict[str, str]) -> Decision:
    if purchase.unsettled_since:
        return unknown.look(change(purchase, repeats=0), rule, moment, seen)
    if purchase.cancel_requested and not live_orders(purchase):
        return submission.cancelled(purchase, rule)
    checked, commands = check(purchase)
    return Decision(checked, rule, "DESIGN, HTTP", commands, evidence=seen)
