"""The provider's page and the transfer: shoppers who pay elsewhere (PLATFORM §5.6, §5.7)."""

from handlers import stale
from handlers.decision import Decision, Moment
from handlers.matrix import Meaning
from handlers.moves import change, end, patience, step, wake
from handlers.policy import Policy
from handlers.redirects import allowed
from handlers.waiting import order_look
from schemas.base import JsonObject
from schemas.commands import Planned, RefreshOrder
from schemas.platform import Order
from schemas.purchase import OrderRecord, Purchase, Reason, State

WAITING = frozenset({Meaning.REDIRECT, Meaning.NO_PAGE, Meaning.FUNDS, Meaning.PROCESSING})
REFRESHED = "order.refreshed"  # how an order was read after the shopper's return
AGAIN = "order.again"  # the same while a return is being looked at: it counts once
OVERDUE = "order.overdue"  # how it was read when the time for the redirect was over


def page(order: Order) -> str | None:
    """Where the shopper is to be sent, if the session says so."""
    return _text(order, "redirectUrl")


def _text(order: Order, name: str) -> str | None:
    value = _data(order).get(name)
    return value if isinstance(value, str) and value else None


def _data(order: Order) -> JsonObject:
    session = order.payment.session
    return session.next_action.data if session and session.next_action else {}


def waiting(
    purchase: Purchase,
    order: Order,
    record: OrderRecord,
    found: Meaning,
    how: str,
    moment: Moment,
    policy: Policy,
) -> Decision:
    """Rows 3 to 7: the order waits for the shopper or for the provider."""
    match found:
        case Meaning.REDIRECT:
            return _redirect(purchase, order, record, how, moment, policy)
        case Meaning.NO_PAGE if how not in (REFRESHED, OVERDUE) and not purchase.observed:
            return refresh(_pending(purchase, Reason.PROCESSING), record.id, "order.no_page")
        case Meaning.NO_PAGE if not purchase.observed:
            return stale.begin(purchase, record, "order.no_page_again")
        case Meaning.FUNDS:
            return _funds(purchase, order, record, moment, policy)
        case _:
            processing = _pending(purchase, Reason.PROCESSING)
            return looked_at(processing, "order.processing", moment, policy)


def _redirect(
    purchase: Purchase,
    order: Order,
    record: OrderRecord,
    how: str,
    moment: Moment,
    policy: Policy,
) -> Decision:
    """Offer the page, and again after a return in vain; then, or when its time is over, enough."""
    url = page(order) or ""
    if not allowed(url, policy):
        odd = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.processing")
        return Decision(odd, "order.redirect_refused", "DESIGN, settings", alert="redirect_refused")
    in_vain = how == REFRESHED and purchase.reason is Reason.REDIRECT
    returns = purchase.returns + in_vain
    if how == OVERDUE or returns > policy.reopenings:
        return stale.begin(change(purchase, returns=returns), record, "order.abandoned")
    sent = _pending(purchase, Reason.REDIRECT, {"action": "redirect", "redirectUrl": url})
    sent = change(sent, returns=returns)
    return looked_at(sent, "order.redirect", moment, policy)


def _funds(
    purchase: Purchase, order: Order, record: OrderRecord, moment: Moment, policy: Policy
) -> Decision:
    """Show the instructions; where none are named they are the primary source's (row 6)."""
    source = _text(order, "sourceId") or record.source_id
    action = {"action": "show_payment_instructions", "sourceId": source} if source else None
    shown = _pending(purchase, Reason.FUNDS, action)
    return looked_at(shown, "order.funds", moment, policy)


MESSAGES = {
    Reason.REDIRECT: "payment.redirect",
    Reason.FUNDS: "payment.instructions",
    Reason.PROCESSING: "order.processing",
}


def _pending(purchase: Purchase, reason: Reason, next_action: JsonObject | None = None) -> Purchase:
    pending = end(purchase, State.PENDING, reason, MESSAGES[reason])
    return change(pending, next_action=next_action)


def looked_at(purchase: Purchase, rule: str, moment: Moment, policy: Policy) -> Decision:
    """A pending order is looked at now and then: the event that ends the wait may be lost.

    No time-out is documented for any of them: when the patience ends is ours to say (§5.6), but
    an order that we only observe is not given up: nobody asks us to replace it (DESIGN, ADOPT).
    """
    waits = purchase
    timers: tuple[Planned, ...] = ()
    if not (purchase.observed and purchase.reason is Reason.REDIRECT):
        waits, timers = patience(purchase, moment, policy)
    due = order_look(waits, moment.now, policy)
    if due is None:
        return Decision(waits, rule, "PLATFORM §4.1", timers)
    looking, commands = wake(waits, "order", due)
    return Decision(looking, rule, "PLATFORM §4.1", (*commands, *timers))


def refresh(purchase: Purchase, order_id: str, rule: str, how: str = REFRESHED) -> Decision:
    """Ask the platform to look at the provider again, and take what it then says (§5.6)."""
    word = how.rpartition(".")[2]
    key = f"{purchase.id}/order/{order_id}/{word}/{purchase.step}"
    asking, commands = step(purchase, RefreshOrder(order_id=order_id), key=key)
    return Decision(asking, rule, "PLATFORM §5.6", commands)


def refreshing(purchase: Purchase) -> bool:
    """Whether what a return leads to is under way."""
    key = purchase.awaiting or ""
    return "/refreshed/" in key or "/again/" in key


def how_read(key: str) -> str:
    """Why an order was read with this key."""
    known = (REFRESHED, OVERDUE)
    return next((how for how in known if f"/{how.rpartition('.')[2]}/" in key), "order.read")
