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
DECLINES = (CHARGE_FAILS, NO_FUNDS, NOT_HONOURED, WRONG_CODE)

Story = Callable[[Shopper], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Situation:
    """`share` of 100 shoppers; `reason` is why they are lost, None if they get their order.

    `crowd` of them arrive at the same moment.
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
