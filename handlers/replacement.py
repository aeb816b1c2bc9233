"""A new checkout in place of a dead or outdated one (I3; PLATFORM §5.2)."""

from pydantic import ValidationError

from handlers import credits, rejection
from handlers.asks import for_corrections
from handlers.changes import not_processed
from handlers.cloning import clone
from handlers.decision import Decision, Moment, ignore
from handlers.moves import again, backoff, change, end, later, read, step, struggle, with_condition
from handlers.paths import contains
from handlers.policy import Policy
from schemas.base import JsonObject
from schemas.commands import DeleteCheckout, FindCheckout, OpenCheckout, Planned
from schemas.facts import CommandEnded
from schemas.platform import Checkout
from schemas.purchase import Condition, Link, Purchase, Reason, State
from schemas.results import Reading, Rejected, Succeeded, Unavailable

MOST_OPENINGS = 8  # attempts at one replacement before a person looks


def mark(purchase: Purchase) -> str:
    """What tells a checkout that we opened, and which of the purchase's it is."""
    return f"{purchase.id}/{len(purchase.chain)}"


def supersede(purchase: Purchase) -> Decision:
    """The correction is to a field that only a new checkout can take (PLATFORM §2.4)."""
    outdated = with_condition(purchase, purchase.current.checkout_id, Condition.SUPERSEDED)
    reading, commands = read(outdated)
    return Decision(reading, "replacement.create_only", "PLATFORM §2.4", commands)


def open_next(purchase: Purchase, reading: Reading) -> Decision:
    """No order exists for any checkout of the chain, as just read: open the next one."""
    if reading.checkout is None and purchase.create_request is None:
        waiting = end(purchase, State.REVIEW, Reason.CHECKOUT_NOT_FOUND, "order.checking")
        return Decision(waiting, "replacement.no_pattern", "PLATFORM §2.14", alert="no_pattern")
    purchase = _with_credits(purchase, reading)
    token = mark(purchase)
    request = clone(purchase.create_request, reading.checkout, purchase.wanted_changes, token)
    request.setdefault("upstreamId", purchase.upstream_id)  # by which a lost answer is looked for
    opening, commands = step(
        purchase, OpenCheckout(request=request, mark=token), key=f"{token}/open"
    )
    how = "create request" if purchase.create_request else "lossy read"
    return Decision(
        *(opening, "replacement.open", "PLATFORM §2.14", commands),
        evidence={"from": how, "orders": 0},
    )


def _with_credits(purchase: Purchase, reading: Reading) -> Purchase:
    """The credits of a checkout that was dead before we first saw it."""
    if purchase.credits:
        return purchase
    try:
        checkout = Checkout.model_validate(reading.checkout)
    except ValidationError:
        return purchase
    return credits.noted(purchase, checkout)


def on_opened(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """`POST /checkouts` was answered."""
    assert isinstance(fact.command, OpenCheckout)
    unfilled = purchase.state is State.HELD and fact.command.mark == mark(purchase)
    if fact.key != purchase.awaiting and not (unfilled and isinstance(fact.result, Succeeded)):
        return _orphaned(purchase, fact)
    match fact.result:
        case Succeeded(body=body):
            return _joined(purchase, body, fact.command.request)
        case Unavailable(retry_after=seconds):
            return not_processed(purchase, fact, seconds, moment, policy, "replacement.later")
        case Rejected() as refused:
            return _refused(purchase, refused, moment, policy)
        case _:
            return _find(purchase, fact.command.mark, fact.command.request)


def _find(purchase: Purchase, token: str, request: JsonObject) -> Decision:
    """Perhaps it was opened: look for our mark before opening another."""
    named = str(request.get("upstreamId") or purchase.upstream_id)
    command = FindCheckout(upstream_id=named, mark=token, request=request)
    finding, commands = step(purchase, command, key=f"{token}/find")
    return Decision(finding, "replacement.look_for_mark", "DESIGN, Worker", commands)


def on_found(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """The search for our mark was answered."""
    assert isinstance(fact.command, FindCheckout)
    if fact.key != purchase.awaiting:
        return ignore(purchase, "replacement.superseded", "I7")
    match fact.result:
        case Succeeded(body={"checkout": dict() as body}):
            return _joined(purchase, body, fact.command.request)
        case Succeeded() if fact.attempt < MOST_OPENINGS:
            # Open once more after a while: an orphan without a source costs nothing.
            held, timers = struggle(purchase, moment, policy)
            due = later(moment, backoff(policy.retry_after, fact.attempt))
            reading, commands = read(held, due)
            rule = "replacement.not_opened"
            return Decision(reading, rule, "DESIGN, Worker", (*timers, *commands))
        case Succeeded():
            waiting = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.checking")
            rule = "replacement.given_up"
            return Decision(waiting, rule, "DESIGN, Worker", alert="not_opened")
        case Rejected() as refused if rejection.leaves_open(refused):
            return rejection.to_operator(purchase, refused)
        case _:
            due = later(moment, backoff(policy.retry_after, fact.attempt))
            return Decision(purchase, "replacement.later", "PLATFORM §1.5", again(fact, due))


def _joined(purchase: Purchase, body: JsonObject, request: JsonObject) -> Decision:
    """The new checkout is the chain's current one; read it and pass the gate."""
    try:
        checkout = Checkout.model_validate(body)
    except ValidationError:
        return _find(purchase, mark(purchase), request)
    session = checkout.payment.session
    link = Link(checkout_id=checkout.id, session_id=session.id if session else None)
    # What was corrected while it was being opened is still to be done.
    left = {k: v for k, v in purchase.wanted_changes.items() if not contains(request.get(k), v)}
    # Older versions give it the customer's default source, which nobody chose (PLATFORM §5.5, I9).
    inherited = (rejection.source_fault(checkout),) if checkout.primary_source else ()
    joined = change(
        credits.moved(purchase),
        faults=(*purchase.faults, *inherited),
        chain=(*purchase.chain, link),
        wanted_changes=left,
        create_request=request,
    )
    reading, commands = read(joined)
    freed = credits.release(joined, purchase.current.checkout_id, credits.attached_ids(purchase))
    return Decision(
        *(reading, "replacement.opened", "PLATFORM §5.2", (*commands, *freed)),
        evidence={"checkout": checkout.id, "sourceInherited": bool(inherited)},
    )


def _refused(purchase: Purchase, refused: Rejected, moment: Moment, policy: Policy) -> Decision:
    """The platform does not open it as asked: the shopper corrects, or a person looks."""
    if rejection.leaves_open(refused):
        return rejection.to_operator(purchase, refused)
    seen = {"status": refused.status, "problems": [p.model_dump() for p in refused.problems]}
    faults = tuple(f for p in refused.problems if (f := rejection.fault_of(p)))
    if not faults:
        waiting = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.checking")
        rule = "replacement.refused"
        return Decision(waiting, rule, "PLATFORM §2.14", evidence=seen, alert="not_opened")
    held, commands = for_corrections(purchase, faults, moment, policy)
    return Decision(held, "replacement.refused", "PLATFORM §2.14", commands, evidence=seen)


def _orphaned(purchase: Purchase, fact: CommandEnded) -> Decision:
    """Opened too late to be used: delete it."""
    body = fact.result.body if isinstance(fact.result, Succeeded) else {}
    return delete_orphan(purchase, str(body.get("id") or ""))


def delete_orphan(purchase: Purchase, checkout_id: str) -> Decision:
    """Delete a checkout that carries our mark and that the chain does not use."""
    if not checkout_id or checkout_id in purchase.checkout_ids:
        return ignore(purchase, "replacement.known", "I7")
    key = f"{purchase.id}/orphan/{checkout_id}"
    planned = Planned(key=key, command=DeleteCheckout(checkout_id=checkout_id))
    return Decision(purchase, "replacement.orphan", "DESIGN, Worker", (planned,))
