"""A person asks to be forgotten: what a purchase then loses, and how it goes on.

Kept: ids of purchases, checkouts, orders and charges, amounts, states and times, so that the books
balance and nothing is done twice. docs/adr/0007 says why.
"""

from dataclasses import replace

from handlers.decision import Decision
from handlers.moves import change, end
from schemas.facts import PersonForgotten
from schemas.purchase import OrderRecord, Purchase, Reason, State
from schemas.results import PlatformProblem


def on_forgotten(purchase: Purchase, fact: PersonForgotten) -> Decision:
    """Forget. What is held ends; what may have become an order is followed by ids alone."""
    return Decision(change(purchase, forgotten=True), "forget.asked", "DESIGN, Storage")


def without_person(decision: Decision) -> Decision:
    """A decision about a forgotten purchase: nothing personal in it, and nothing submitted.

    There is nobody left to ask and nothing to ask with, so a hold is the end. An order that
    exists is followed as always, and a late one counts.
    """
    after = scrubbed(decision.purchase)
    submits = any(planned.command.kind == "submit" for planned in decision.commands)
    if after.state is not State.HELD and not submits:
        return replace(decision, purchase=after)
    lost = end(after, State.LOST, Reason.STOPPED, "order.failed")
    settled = change(lost, unsettled_since=None, permit=None, verdict=None)
    rule = decision.rule if decision.rule == "forget.asked" else "forget.stopped"
    return replace(decision, purchase=settled, rule=rule, commands=())


def scrubbed(purchase: Purchase) -> Purchase:
    """The purchase without anything that is or may be personal."""
    verdict = purchase.verdict
    return change(
        purchase,
        create_request=None,
        wanted_changes={},
        waiting_request=None,
        faults=(),
        next_action=None,
        customer_id=None,
        email_digest=None,
        credits=tuple(c.model_copy(update={"owner": None}) for c in purchase.credits),
        submissions=tuple(
            s.model_copy(update={"problems": speechless(s.problems)}) for s in purchase.submissions
        ),
        verdict=verdict and verdict.model_copy(update={"problems": speechless(verdict.problems)}),
        order=purchase.order and _bare(purchase.order),
        orders=tuple(map(_bare, purchase.orders)),
    )


def speechless(problems: tuple[PlatformProblem, ...]) -> tuple[PlatformProblem, ...]:
    """Problems without their messages, which may repeat what the shopper typed."""
    return tuple(problem.model_copy(update={"message": None}) for problem in problems)


def _bare(order: OrderRecord) -> OrderRecord:
    """Metadata is the storefront's: nobody knows what is in it."""
    items = tuple(item.model_copy(update={"metadata": {}}) for item in order.items)
    return order.model_copy(update={"items": items})
