"""All shoppers, when they come, and what became of each as they saw it."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from .books import Expectation
from .shopper import Shopper
from .situations import Situation, spread
from .storefront import Storefront
from .trouble import Trouble

ARRIVALS = 8.0  # shoppers a second


@dataclass(slots=True)
class Visit:
    """One shopper's visit. `error` says what went wrong with the story itself."""

    shopper: Shopper
    situation: Situation
    arrives: float
    started: bool = False
    ended: bool = False
    error: str | None = None

    @property
    def state(self) -> str:
        """What the shopper's page shows last."""
        return str(self.shopper.purchase.get("state", "-"))

    @property
    def expectation(self) -> Expectation:
        """How it should end."""
        return Expectation(self.shopper.name, self.situation.name, self.situation.reason)


@dataclass(slots=True)
class Crowd:
    """Every visit of this run."""

    visits: Sequence[Visit]
    kills: int = 0
    down: bool = False

    @property
    def ended(self) -> int:
        """How many shoppers have gone home."""
        return sum(visit.ended for visit in self.visits)

    @property
    def left(self) -> list[Visit]:
        """Who is still in the shop."""
        return [visit for visit in self.visits if not visit.ended]

    async def shop(self) -> None:
        """Returns when all have gone home; cancel it to send the rest away."""
        async with asyncio.TaskGroup() as group:
            for visit in self.visits:
                group.create_task(_visit(visit))


async def _visit(visit: Visit) -> None:
    await asyncio.sleep(visit.arrives)
    visit.started = True
    try:
        await visit.situation.story(visit.shopper)
    except Exception as error:  # noqa: BLE001 - one shopper's trouble must not send all away
        visit.error = f"{type(error).__name__}: {error}"
    visit.ended = True


def gather(count: int, seed: int, shop: Storefront, trouble: Trouble) -> Crowd:
    """`count` shoppers over all situations, in an order and at moments that the seed decides."""
    chance = random.Random(seed)
    situations = spread(count)
    chance.shuffle(situations)
    moments = sorted(chance.uniform(0, count / ARRIVALS) for _ in situations)
    visits = []
    waiting: dict[str, list[Visit]] = {}
    for number, (situation, moment) in enumerate(zip(situations, moments, strict=True)):
        shopper = Shopper(f"web-{seed}-{number:04d}", number, shop, trouble)
        visit = Visit(shopper, situation, moment)
        visits.append(visit)
        if situation.crowd > 1:
            group = waiting.setdefault(situation.name, [])
            group.append(visit)
            if len(group) == situation.crowd:
                _together(waiting.pop(situation.name))
    for group in waiting.values():
        _together(group)
    return Crowd(visits)


def _together(visits: list[Visit]) -> None:
    moment = max(visit.arrives for visit in visits)
    for visit in visits:
        visit.arrives = moment
