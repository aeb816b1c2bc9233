"""What the rows of the table are made of.

Rule names hold no codes and no fraud words: they are metric labels (I8).
"""

from dataclasses import dataclass
from enum import StrEnum

CUSTOMER, MERCHANT, MOTO = "customer_initiated", "merchant_initiated", "moto"
CHARGES = (CUSTOMER, MERCHANT, MOTO)
NONE_GIVEN = "-"  # a parameter pattern: the platform names none


class Action(StrEnum):
    """What we do. `handlers.remedies.courses` says who acts, how often, and how it ends."""

    # A submission was refused, or its order came to nothing.
    NEW_CHECKOUT = "new_checkout"  # the checkout is dead; the shopper pays anew
    REPAIR = "repair"  # mend the same checkout, submit the same id
    REPLACE = "replace"  # only a new checkout can take the correction
    STEP_UP = "step_up"  # the shopper confirms with their bank, on the same checkout
    OPERATOR = "operator"  # our key or our client is at fault; the checkout stays as it is
    PERSON = "person"  # no rule knows what to mend
    STOP = "stop"  # never charged again for this purchase; nothing suspicious
    END = "end"  # never again for this purchase
    # A submission has no answer that can be trusted, or was not processed.
    LOOK = "look"  # an order may exist: look for it, take no payment, open nothing
    WAIT = "wait"  # not processed: the same checkout later, unchanged
    # A checkout was read.
    SUBMIT = "submit"
    COLLECT = "collect"  # the shopper pays
    TOP_UP = "top_up"  # the shopper pays the rest
    WATCH = "watch"  # something is in flight: look again, submit nothing
    # An order was read.
    SOLD = "sold"
    AWAIT = "await"  # the platform ends it; look now and then
    SEND = "send"  # the shopper is sent to the provider's page
    REFRESH = "refresh"  # ask the platform to look at the provider once more
    INSTRUCT = "instruct"  # the shopper is shown how to pay
    CANCEL = "cancel"  # cancel the order, read it back, then a new checkout
    CLOSED = "closed"  # somebody ended it; that is respected
    TELL = "tell"  # it is sold, and something about it went wrong since


class Decline(StrEnum):
    """Whether the same source may pay later (PLATFORM §5.8)."""

    HARD = "hard"
    SOFT = "soft"
    FRAUD = "fraud"
    UNCLASSIFIED = "unclassified"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do, how often the shopper may choose the same source again, what they read.

    `again` is 0 after a hard decline, 1 where the shopper can correct or authenticate a saved
    source (I9). `known` is false where the code is in no table: the safe default was taken, and it
    shows. `field` is the place in the checkout that has to be mended. `charged` is false where
    the platform refused the data before it took any money.
    """

    action: Action
    rule: str
    source: str
    message: str = "payment.declined"
    again: int = 0
    known: bool = True
    decline: Decline | None = None
    field: str | None = None
    charged: bool = True


@dataclass(frozen=True, slots=True)
class When:
    """Which answers to `POST /orders` a row is about; None is any.

    `status` is one (`409`), a class without rows of their own (`4xx`, `5xx`), or `none` for no
    readable answer. A parameter covers what is below it: `shipTo` is `shipTo.address.city` too.
    """

    status: str
    code: str | None = None
    parameter: str | None = None
    charge: str | None = None

    def covers(self, parameter: str | None, charge: str | None) -> bool:
        """Whether the row is about this parameter and charge type; code and status are known."""
        if self.charge not in (None, charge):
            return False
        if self.parameter in (None, parameter or NONE_GIVEN):
            return True
        return self.parameter == root(parameter or "")

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """The more it names the earlier it counts: code, then parameter, then charge type.

        `shipFrom.address` names more than `shipFrom`.
        """
        return self.code is not None, len(self.parameter or ""), self.charge is not None


@dataclass(frozen=True, slots=True)
class Row:
    """A row about a refused submission."""

    when: When
    then: Remedy


def root(parameter: str) -> str:
    """`items` for `items[0].price`, `shipTo` for `shipTo.address.city`."""
    return parameter.split(".")[0].split("[")[0]
