"""Whether somebody waits for what is done next."""

from datetime import datetime, timedelta

from schemas.commands import Command, Submit
from schemas.purchase import Purchase, State

PATIENCE = timedelta(minutes=5)  # of a shopper in front of a page, since the last confirming call
SETTLED = frozenset({State.ACCEPTED, State.LOST, State.REVIEW})


def hurries(purchase: Purchase, command: Command, now: datetime) -> bool:
    """Whether a shopper waits for this command; a submission can't wait: its reading ages (I1)."""
    present = purchase.state not in SETTLED and now - purchase.confirmed_at <= PATIENCE
    return present or isinstance(command, Submit)
