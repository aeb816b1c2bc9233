"""The situations that shoppers get into, each told as a story.

A shopper knows the storefront alone. What the platform does wrong is arranged beforehand.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .shopper import GOOD, Shopper
from .storefront import Card
from .trouble import LATE

CHARGE_FAILS = Card(number="4000000000003600")
NO_FUNDS = Card(number="5466160000000008", last_name="Decline_insufficient_funds")
NOT_HONOURED = Card(last_name="Decline_do_not_honor")
WRONG_CODE = Card(last_name="Decline_invalid_security_code")
STOLEN = Card(last_name="Decline_lost_stolen_card")
FRAUD = Card(last_name="FraudBlock")
KLARNA = Card(kind="klarnaCredit")
SEPA_FAILS = Card(kind="directDebit", last_name="ChargeFailedAfterPending")
PAYPAL = Card(kind="payPal")
TRANSFER = Card(kind="konbini")
REVIEWED = Card(last_name="Review")
REVIEWED_AND_BLOCKED = Card(last_name="ReviewBlock")
REVIEWED_AND_FRAUD = Card(last_name="ReviewFraud")
CHALLENGED = Card(last_name="StepUp")
DECLINES = (CHARGE_FAILS, NO_FUNDS, NOT_HONOURED, WRONG_CODE)

Story = Callable[[Shopper], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Situation:
    """`share` of all shares; `reason` is why they are lost, or what is wrong with their order.

    None: they get it. `crowd` of them arrive at the same moment.
    """

    name: str
    share: int
    story: Story
    reason: str | None = None
    crowd: int = 1


async def ready(shopper: Shopper) -> None:
    await shopper.fills_basket()
    await shopper.attaches(GOOD)
    await shopper.places_order()
    await shopper.follows()


async def no_card_yet(shopper: Shopper) -> None:
    """Half of them pay where only the platform sees it, the others where the service asks."""
    await shopper.fills_basket()
    await shopper.places_order()
    if shopper.number % 2:
        await shopper.pays_at_the_storefront()
    await shopper.follows()


async def declined_once(shopper: Shopper) -> None:
    await shopper.fills_basket()
    await shopper.attaches(DECLINES[shopper.number % len(DECLINES)])
    await shopper.places_order()
    await shopper.follows(GOOD)


async def declined_twice(shopper: Shopper) -> None:
    first = shopper.number % len(DECLINES)
    await shopper.fills_basket()
    await shopper.attaches(DECLINES[first])
    await shopper.places_order()
    await shopper.follows(DECLINES[first - 1], GOOD)


async def same_card_again(shopper: Shopper) -> None:
    """The saved card is stolen; the shopper insists on it once, and it must not be charged."""
    await shopper.registers()
    await shopper.fills_basket()
    saved = await shopper.saves_card(STOLEN)
    await shopper.attaches(saved)
    await shopper.places_order()
    await shopper.is_asked("collect_payment")
    await shopper.pays(saved)
    await shopper.follows(GOOD)


async def fraud(shopper: Shopper) -> None:
    """A bag of stolen cards; whoever asks for another one gets it, and ends as exhausted.

    (Only an answer that was lost with a killed service may lead to a second card.)
    """
    await shopper.fills_basket()
    await shopper.attaches(FRAUD)
    await shopper.places_order()
    await shopper.follows(FRAUD)


async def nameless_parcel(shopper: Shopper) -> None:
    """Of half of them the customer record knows the name; the others must type it."""
    if shopper.number % 2:
        address = {"line1": "Teststr. 1", "city": "Berlin", "postalCode": "10115", "country": "DE"}
        await shopper.registers(shipping={"name": "Ada Probe", "address": address})
    await shopper.fills_basket(ship_to_name=False)
    await shopper.attaches(GOOD)
    await shopper.places_order()
    await shopper.follows()


async def old_price(shopper: Shopper) -> None:
    """The page still shows yesterday's total."""
    await shopper.fills_basket()
    await shopper.attaches(GOOD)
    await shopper.places_order(seen=round(shopper.total["amount"] - 2, 2))
    await shopper.follows()


async def answer_lost(shopper: Shopper) -> None:
    """The order exists and nobody says so, or there is an error and it does not exist."""
    faults = (
        {"kind": "cut", "where": "before"},
        {"kind": "after_commit", "status": 504},
        {"kind": "before_commit", "status": 503},
        {"kind": "cut", "where": "middle"},
        {"kind": "hang", "seconds": 4.0},
        {"kind": "before_commit", "status": 500},
        {"kind": "garbage"},
    )
    await shopper.fills_basket()
    await shopper.attaches(GOOD)
    await shopper.trouble.with_submission(shopper.name, 1, **faults[shopper.number % len(faults)])
    await shopper.places_order()
    await shopper.follows()


async def too_many_requests(shopper: Shopper) -> None:
    """A crowd at once, and the platform lets nobody through for a while."""
    await shopper.fills_basket()
    await shopper.attaches(GOOD)
    call = shopper.trouble.with_anything if shopper.number % 2 else shopper.trouble.with_submission
    await call(shopper.name, 1, kind="rate_limit", retryAfter=1)
    await shopper.places_order()
    await shopper.follows()


async def late_commit(shopper: Shopper) -> None:
    """The platform answers 504 and makes the order afterwards."""
    await shopper.fills_basket()
    await shopper.attaches(GOOD)
    await shopper.trouble.with_submission(shopper.name, 1, kind="late_commit", seconds=LATE)
    await shopper.places_order()
    await shopper.follows()


async def approves_elsewhere(shopper: Shopper) -> None:
    """Half of them never come back from the provider's page; the order is paid all the same."""
    shopper.comes_back = bool(shopper.number % 2)
    await shopper.fills_basket()
    await shopper.attaches(KLARNA)
    await shopper.places_order()
    await shopper.follows()


async def gives_up_elsewhere(shopper: Shopper) -> None:
    """At the provider's page for nothing, until another payment is asked for: then a card."""
    shopper.at_provider = ["decline", "abandon"]
    await shopper.fills_basket()
    await shopper.attaches(KLARNA)
    await shopper.places_order()
    await shopper.follows(GOOD)


async def changes_mind_elsewhere(shopper: Shopper) -> None:
    """Cancels while the order waits for the provider."""
    await shopper.fills_basket()
    await shopper.attaches(KLARNA)
    await shopper.places_order()
    await shopper.is_asked("redirect")
    await shopper.cancels()
    await shopper.follows()


async def paypal(shopper: Shopper) -> None:
    """Approved first, submitted then."""
    await shopper.fills_basket()
    source = await shopper.types(PAYPAL)
    await shopper.attaches(source)
    await shopper.places_order()
    await shopper.is_asked("collect_payment")
    await shopper.approves(source)
    await shopper.follows()


async def debit_fails_later(shopper: Shopper) -> None:
    await shopper.fills_basket()
    await shopper.attaches(SEPA_FAILS)
    await shopper.places_order()
    await shopper.follows(GOOD)


async def transfer_paid(shopper: Shopper) -> None:
    await shopper.fills_basket()
    await shopper.attaches(TRANSFER)
    await shopper.places_order()
    await shopper.follows()


async def transfer_expires(shopper: Shopper) -> None:
    """Nobody pays at the counter; then a card."""
    shopper.transfer = "expire"
    await shopper.fills_basket()
    await shopper.attaches(TRANSFER)
    await shopper.places_order()
    await shopper.follows(GOOD)


async def reviewed(shopper: Shopper) -> None:
    await shopper.fills_basket()
    await shopper.attaches(REVIEWED)
    await shopper.places_order()
    await shopper.follows()


async def reviewed_and_blocked(shopper: Shopper) -> None:
    await shopper.fills_basket()
    await shopper.attaches(REVIEWED_AND_BLOCKED)
    await shopper.places_order()
    await shopper.follows()


async def reviewed_and_cancelled(shopper: Shopper) -> None:
    """Cancelled for fraud: never offered another try."""
    await shopper.fills_basket()
    await shopper.attaches(REVIEWED_AND_FRAUD)
    await shopper.places_order()
    await shopper.follows()


async def saved_card_instead(shopper: Shopper) -> None:
    """The typed card is declined, a saved one of the account works."""
    await shopper.registers()
    await shopper.fills_basket()
    await shopper.saves_card(GOOD)
    await shopper.attaches(CHARGE_FAILS)
    await shopper.places_order()
    await shopper.chooses_saved()
    await shopper.follows()


async def store_credit(shopper: Shopper) -> None:
    """A part is store credit; the card is declined, and the credit must come along."""
    shopper.credit = 10.0
    await shopper.fills_basket()
    await shopper.redeems_credit()
    await shopper.attaches(NO_FUNDS)
    await shopper.places_order()
    await shopper.follows(GOOD)


async def bank_asks(shopper: Shopper) -> None:
    """The bank wants a confirmation at the order: the one 409 after which the checkout lives."""
    await shopper.fills_basket()
    await shopper.attaches(CHALLENGED)
    await shopper.places_order()
    await shopper.follows()


async def merchant_submits(shopper: Shopper) -> None:
    """The merchant places its orders itself, and hands over only the rejection."""
    await shopper.fills_basket()
    await shopper.attaches(DECLINES[shopper.number % len(DECLINES)])
    await shopper.submits_itself()
    await shopper.appears()
    await shopper.follows(GOOD)


async def nobody_handed_over(shopper: Shopper) -> None:
    """An order of the merchant's own: observed."""
    await shopper.fills_basket()
    await shopper.attaches(GOOD)
    await shopper.submits_itself()
    await shopper.appears()
    await shopper.follows()


async def disputed(shopper: Shopper) -> None:
    """Bought, and later disputed at the bank."""
    await shopper.fills_basket()
    await shopper.attaches(GOOD)
    await shopper.places_order()
    await shopper.follows()
    await shopper.is_troubled("dispute", "disputed")


async def capture_fails(shopper: Shopper) -> None:
    """Bought, and the money can't be captured."""
    await shopper.fills_basket()
    await shopper.attaches(GOOD)
    await shopper.places_order()
    await shopper.follows()
    await shopper.is_troubled("capture_failed", "capture_failed")


SITUATIONS = (
    Situation("ready", 20, ready),
    Situation("no card, then one", 12, no_card_yet),
    Situation("declined once", 14, declined_once),
    Situation("declined twice", 9, declined_twice),
    Situation("same stolen card again", 7, same_card_again),
    Situation("fraud", 6, fraud, reason="fraud"),
    Situation("no name on the parcel", 9, nameless_parcel),
    Situation("page shows an old price", 5, old_price),
    Situation("answer lost, or 5xx", 9, answer_lost),
    Situation("429 in bursts", 4, too_many_requests, crowd=6),
    Situation("answered 504, made later", 5, late_commit),
    Situation("pays at a provider", 9, approves_elsewhere),
    Situation("leaves the provider's page", 6, gives_up_elsewhere),
    Situation("cancels at the provider", 3, changes_mind_elsewhere, reason="cancelled"),
    Situation("PayPal", 5, paypal),
    Situation("direct debit fails later", 5, debit_fails_later),
    Situation("transfer arrives", 4, transfer_paid),
    Situation("transfer expires", 5, transfer_expires),
    Situation("reviewed", 4, reviewed),
    Situation("reviewed and blocked", 3, reviewed_and_blocked, reason="blocked"),
    Situation("cancelled for fraud", 3, reviewed_and_cancelled, reason="fraud"),
    Situation("declined, then a saved card", 6, saved_card_instead),
    Situation("store credit and a bad card", 5, store_credit),
    Situation("the bank asks to confirm", 4, bank_asks),
    Situation("merchant submits, rejected", 6, merchant_submits),
    Situation("merchant's own order", 4, nobody_handed_over),
    Situation("disputed later", 3, disputed, reason="disputed"),
    Situation("capture fails later", 3, capture_fails, reason="capture_failed"),
)


def spread(shoppers: int, situations: tuple[Situation, ...] = SITUATIONS) -> list[Situation]:
    """A situation for every shopper, by share; each gets at least one if there are enough."""
    whole = sum(situation.share for situation in situations)
    counts = [max(1, situation.share * shoppers // whole) for situation in situations]
    counts[0] += shoppers - sum(counts)
    while counts[0] < 1 and shoppers >= len(situations):
        most = max(range(len(counts)), key=counts.__getitem__)
        counts[most] -= 1
        counts[0] += 1
    pairs = zip(situations, counts, strict=True)
    return [situation for situation, count in pairs for _ in range(count)][:shoppers]
