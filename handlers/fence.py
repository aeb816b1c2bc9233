"""Whether a planned change may still be sent (I1, I3): decided again just before it is."""

from datetime import datetime

from handlers.credits import releasable
from schemas.commands import CancelOrder, Command, DetachSource, Submit
from schemas.purchase import Purchase

# An orphan that is being deleted needs nobody to wait for it.
AWAITED = frozenset(
    {
        *("submit", "update_checkout", "attach_source", "open_checkout", "save_source"),
        "create_credit",
    }
)


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
