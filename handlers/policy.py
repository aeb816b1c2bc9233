"""The merchant's choices, as the rules need them. Built from the settings at start."""

from dataclasses import dataclass
from datetime import timedelta

from handlers.tables import TABLE, Table


@dataclass(frozen=True, slots=True)
class Policy:
    """Times and limits. The defaults are DESIGN's; tests and the demo shorten the times."""

    live: bool = False
    table: Table = TABLE  # of remedies, with the merchant's own rows
    settle: timedelta = timedelta(seconds=120)
    consent_window: timedelta = timedelta(minutes=30)
    hold_deadline: timedelta = timedelta(days=7)
    retry_deadline: timedelta = timedelta(days=1)
    permit_life: timedelta = timedelta(seconds=10)
    max_submissions: int = 5  # I9
    submit_free: bool = True  # a free order from `requires_source`, once (PLATFORM §3.4)
    max_repeats: int = 3  # of one submission without an answer (PLATFORM §4.4, step 5)
    redirect_hosts: tuple[str, ...] = ()
    step_up: bool = False  # one 409 may be answered on the same checkout (PLATFORM §4.2)
    loopback: bool = False  # the platform is a stand-in on this machine

    # Seconds before the next look-up for an order, and before the next try at a busy platform.
    look_after: tuple[float, ...] = (1, 2, 4, 8, 15, 30)
    slow_look: timedelta = timedelta(minutes=10)
    redirect_wait: timedelta = timedelta(minutes=30)  # then the redirect counts as abandoned
    reopenings: int = 1  # returns in vain after which the provider's page is offered once more
    money_look: timedelta = timedelta(minutes=1)  # the first look at money on its way
    pending_patience: timedelta = timedelta(days=14)  # then somebody is told that an order waits
    review_look: timedelta = timedelta(days=1)  # between looks at an order that a person has
    pending_look: timedelta = timedelta(hours=1)  # a webhook may have been lost
    # Between looks at a purchase that waits for the shopper; the last one repeats.
    held_looks: tuple[timedelta, ...] = (
        *(timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(days=1)),
    )
    retry_after: tuple[float, ...] = (1, 2, 5, 10, 30, 60, 120)
