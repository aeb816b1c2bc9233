"""What every remedy means: what is done, who acts, where the purchase then stands, how often.

`handlers.waiting` has the deadline of each place in which a purchase can stand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from handlers.policy import Policy
from handlers.remedies.words import Action
from schemas.purchase import Reason, State


class Who(StrEnum):
    """Who has to act next."""

    SERVICE = "Order Rescue"
    SHOPPER = "the shopper"
    TEAM = "the payments team"
    PLATFORM = "the platform"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Budget:
    """How often, or how long, before the remedy gives up; `of` reads after the figure."""

    most: Callable[[Policy], int | timedelta]
    of: str


Place = tuple[State, Reason | None]


@dataclass(frozen=True, slots=True)
class Course:
    """What a remedy comes to. `leads` are the remedies that may follow it by themselves or on the
    shopper's word; whatever goes in a circle has a budget. `told` is the alert after which a
    person has it."""

    does: str
    who: Who
    stands: tuple[Place, ...]
    leads: tuple[Action, ...] = ()
    budget: Budget | None = None
    told: str | None = None


A, H, P = Action, State.HELD, State.PENDING
SUBMISSIONS = Budget(lambda policy: policy.max_submissions, "submissions a purchase")
PAY = (H, Reason.PAYMENT_REQUIRED)
CORRECT = (H, Reason.CORRECTION_REQUIRED)
UNDECIDED = (State.REVIEW, Reason.UNDECIDED)
PROCESSING = (P, Reason.PROCESSING)
SPENT = (State.LOST, Reason.EXHAUSTED)
ORDERS = (A.SOLD, A.AWAIT, A.SEND, A.REFRESH, A.INSTRUCT, A.CANCEL, A.END, A.CLOSED, A.PERSON)
REFUSALS = (
    *(A.NEW_CHECKOUT, A.REPAIR, A.REPLACE, A.STEP_UP, A.OPERATOR, A.PERSON, A.STOP, A.END),
    *(A.LOOK, A.WAIT),
)
READ = (A.SUBMIT, A.COLLECT, A.TOP_UP, A.STEP_UP, A.WATCH)
PATIENCE = Budget(lambda policy: policy.pending_patience, "then the payments team is told")
HOLD = Budget(lambda policy: policy.hold_deadline, "then the payments team decides")

COURSES: dict[Action, Course] = {
    A.NEW_CHECKOUT: Course(
        "The checkout is never used again. Once no order of it is found, a new one is opened with "
        "the same goods, and the shopper pays there.",
        *(Who.SHOPPER, (PAY, CORRECT, SPENT), READ, SUBMISSIONS),
    ),
    A.REPAIR: Course(
        "The same checkout is mended, from what is known or by the shopper, and submitted again "
        "under the same id. What is known mends each field once.",
        *(Who.SHOPPER, (CORRECT, PAY, SPENT), READ, SUBMISSIONS),
    ),
    A.REPLACE: Course(
        "The platform takes this correction only in a new checkout: the storefront is asked for "
        "it, and a new one is opened with it.",
        *(Who.SHOPPER, (CORRECT, SPENT), READ, SUBMISSIONS),
    ),
    A.STEP_UP: Course(
        "The shopper confirms the payment with their bank. After a refusal that is done on the "
        "same checkout only where the setting STEP_UP is on; else as after `new_checkout`.",
        *(Who.SHOPPER, ((H, Reason.STEP_UP_REQUIRED), PAY, SPENT), READ),
        Budget(lambda _policy: 1, "step a checkout"),
    ),
    A.OPERATOR: Course(
        "The key or our own client is at fault. The checkout stays as it is and is submitted "
        "unchanged once a person has put that right.",
        *(Who.TEAM, ((State.REVIEW, Reason.CREDENTIALS),)),
        told="credentials",
    ),
    A.PERSON: Course(
        "Nothing more happens until a person decides.",
        *(Who.TEAM, (UNDECIDED,)),
        told="undecided",
    ),
    A.STOP: Course(
        "The purchase ends, and nothing is charged again for it.",
        *(Who.NOBODY, ((State.LOST, Reason.STOPPED),)),
    ),
    A.END: Course(
        "The purchase ends; the shopper reads what any other end reads.",
        *(Who.NOBODY, ((State.LOST, Reason.FRAUD), (State.LOST, Reason.BLOCKED))),
    ),
    A.LOOK: Course(
        "An order may exist. It is looked for; no payment is taken and no checkout opened. Only "
        "after the settling time is the same checkout submitted again.",
        *(Who.SERVICE, ((State.UNKNOWN, None),), (*READ, *ORDERS)),
        Budget(lambda policy: policy.max_repeats, "repeats of a submission"),
        told="unknown_given_up",
    ),
    A.WAIT: Course(
        "The platform did not process it. The same checkout is submitted later, unchanged.",
        *(Who.SERVICE, ((H, Reason.RETRY_SCHEDULED),), READ),
        Budget(lambda policy: policy.retry_deadline, "from the first delay on"),
    ),
    A.SUBMIT: Course(
        "The order is placed, under a permit that belongs to this one reading.",
        *(Who.SERVICE, ((State.SUBMITTING, None),), (*REFUSALS, *ORDERS)),
    ),
    A.COLLECT: Course("The shopper chooses how to pay.", *(Who.SHOPPER, (PAY,), READ, SUBMISSIONS)),
    A.TOP_UP: Course(
        "The sources do not cover the total: the shopper pays the rest.",
        *(Who.SHOPPER, ((H, Reason.PAYMENT_INCOMPLETE),), READ, SUBMISSIONS),
    ),
    A.WATCH: Course(
        "Money may be moving. Nothing is submitted; the checkout is read more and more rarely.",
        *(Who.SERVICE, ((H, Reason.IN_FLIGHT),), READ, HOLD),
    ),
    A.SOLD: Course("The goods are sold.", Who.NOBODY, ((State.ACCEPTED, None),)),
    A.AWAIT: Course(
        "The platform or the provider is not done. Nothing is retried, cloned or fulfilled.",
        *(Who.PLATFORM, (PROCESSING, (P, Reason.FRAUD_REVIEW)), ORDERS, PATIENCE),
    ),
    A.SEND: Course(
        "The shopper is sent to the provider's page; after a return in vain once more.",
        *(Who.SHOPPER, ((P, Reason.REDIRECT),), ORDERS),
        Budget(lambda policy: policy.redirect_wait, "then the order is cancelled and replaced"),
    ),
    A.REFRESH: Course(
        "The platform is asked to look at the provider again.",
        *(Who.SERVICE, (PROCESSING,), ORDERS),
        Budget(lambda _policy: 1, "refresh an order, then it is cancelled and replaced"),
    ),
    A.INSTRUCT: Course(
        "The shopper is shown how to pay, and the money is awaited.",
        *(Who.SHOPPER, ((P, Reason.FUNDS),), ORDERS, PATIENCE),
    ),
    A.CANCEL: Course(
        "Unless money is on its way the order is cancelled and read back as cancelled; then a new "
        "checkout. A refused cancel is for a person.",
        *(Who.SERVICE, (PROCESSING, (State.REVIEW, Reason.STALE_ORDER))),
        (A.NEW_CHECKOUT, A.AWAIT, A.SOLD, A.END, A.PERSON),
        told="stale_order",
    ),
    A.CLOSED: Course(
        "Somebody ended it, and that is respected.",
        *(Who.NOBODY, ((State.LOST, Reason.CANCELLED),)),
    ),
    A.TELL: Course(
        "Goods are held back where a charge failed; the team is told. No second order is made.",
        Who.TEAM,
        (
            (State.ACCEPTED, Reason.CAPTURE_FAILED),
            (State.ACCEPTED, Reason.REAUTHORIZATION_FAILED),
            (State.ACCEPTED, Reason.DISPUTED),
            (State.ACCEPTED, Reason.CHARGEBACK),
        ),
        told="trouble",
    ),
}


def in_words(budget: Budget | None, policy: Policy) -> str:
    """`5 submissions a purchase`, `14 days, then …`; `-` where nothing is repeated."""
    if budget is None:
        return "-"
    most = budget.most(policy)
    if isinstance(most, int):
        return f"{most} {budget.of}"
    minutes = int(most.total_seconds() // 60)
    units = ((24 * 60, "day"), (60, "hour"), (1, "minute"))
    size, unit = next(pair for pair in units if minutes % pair[0] == 0)
    count = minutes // size
    return f"{count} {unit}{'' if count == 1 else 's'}, {budget.of}"
