"""What may be changed at the platform: decided again just before it is sent (I1, I3), and never
for a purchase that is only observed."""

from dataclasses import replace
from datetime import datetime

from handlers import submission
from handlers.credits import releasable
from handlers.decision import Decision, Moment
from handlers.moves import change, end, hold
from handlers.policy import Policy
from handlers.waiting import overdue
from schemas.commands import MUTATIONS, CancelOrder, Command, DetachSource, Submit
from schemas.purchase import Purchase, Reason, State

# An orphan that is being deleted needs nobody to wait for it.
AWAITED = frozenset(
    {
        *("submit", "update_checkout", "attach_source", "open_checkout", "save_source"),
        "create_credit",
    }
)
# Looking at an order's money is the first step of replacing it.
REMEDIES = MUTATIONS | {"inspect_order"}
UNCLAIMED = (State.HELD, Reason.PAYMENT_REQUIRED)


def void(
    purchase: Purchase | None,
    key: str,
    command: Command,
    epoch: int,
    now: datetime,
    *,
    news: bool = False,
) -> bool:
    """Whether the right to send this has passed.

    A change of a checkout is void when the purchase no longer waits for it; a submission also
    when there are news that were not decided upon, or its permit is of another version or epoch
    of the lease, or too old; the cancel of an order when there are news, or it is to stay; a
    release of store credit when the checkout may have become an order or is dead (I2, I3).
    """
    if purchase is not None and purchase.observed and command.kind in MUTATIONS:
        return True
    if purchase is not None and isinstance(command, CancelOrder):
        wanted = purchase.cancel_requested or purchase.replacing == command.order_id
        return news or not wanted
    if isinstance(command, DetachSource):
        return purchase is None or not releasable(purchase, command.checkout_id)
    if command.kind not in AWAITED:
        return False
    if purchase is None or purchase.awaiting != key:
        return True
    if not isinstance(command, Submit):
        return False
    permit = command.permit
    passed = now > permit.not_after or permit.epoch != epoch
    return news or passed or purchase.version != permit.version


def observed(before: Purchase, decision: Decision, moment: Moment, policy: Policy) -> Decision:
    """The decision without what it would change at the platform, if nobody handed the purchase
    over (DESIGN, ADOPT).

    What needs a remedy then waits as `payment_required` without a next action: until the
    storefront claims it by `POST /v1/purchases`, there is nothing that a shopper could do. What
    waits so already goes on waiting, however often it is looked at, and what is lost stays lost.
    """
    purchase = decision.purchase
    cut = [p for p in decision.commands if p.command.kind in REMEDIES]
    if not purchase.observed or not cut:
        return decision
    kept = tuple(p for p in decision.commands if p not in cut)
    if all(p.key != purchase.awaiting for p in cut):  # nothing waits for it: it is left undone
        return replace(decision, commands=kept)
    if before.state is State.LOST:
        lost = change(
            end(purchase, State.LOST, before.reason, before.message),
            hold=before.hold,
            deadline=before.deadline,
        )
        return replace(decision, purchase=lost, commands=kept)
    if (before.state, before.reason) == UNCLAIMED:
        state, reason = UNCLAIMED
        waiting = {"state": state, "reason": reason, "hold": before.hold}
        purchase = change(purchase, **waiting, deadline=before.deadline)
    held, timers = hold(
        change(purchase, replacing=None, wanted_source=None, wanted_changes={}),
        *(Reason.PAYMENT_REQUIRED, moment, policy),
        message="payment.declined",
    )
    if overdue(held, moment.now):
        return submission.expired(held)
    return Decision(
        *(change(held, awaiting=None, stale=False), "observed.unclaimed", "DESIGN, ADOPT"),
        (*kept, *timers),
        evidence={
            **decision.evidence,
            "rule": decision.rule,
            "left": [p.command.kind for p in cut],
        },
        alternatives=decision.alternatives,
        alert=decision.alert,
    )
