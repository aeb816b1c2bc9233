"""The service is killed at the commits of every way to an order, and started again.

After every commit of the first three ways. Of the others, which mostly walk where those do, and of
the moments just before a commit, a sample; with TEST_ORDER_RESCUE_CRASH_POINTS=all (the nightly
run) at all of them.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.crash.shopper import DECLINED_CARD, Way, case

ABREAST = 6  # stories at the same time: most of their time they wait
SAMPLED = 5
WAYS = (
    Way("submit", webhooks=True, thorough=True),
    Way("409, new checkout, new source, submit", card=DECLINED_CARD, checkouts=2, thorough=True),
    Way(
        "409, new checkout, credits, new source, submit",
        card=DECLINED_CARD,
        checkouts=2,
        credit=(20.0, 9.95),
    ),
    Way("answer lost, look", fault="after_commit", lag=1.0),
    Way("made late, look", fault="late_commit"),
    Way("not made, look, repeat", fault="before_commit", thorough=True),
    Way("409, step-up, submit", owner="StepUp"),
    Way("redirect in vain, cancel, replace", kind="klarnaCredit", checkouts=2, cancelled=1),
)


def _made(folder: Path) -> None:
    folder.mkdir()


def _points(way: Way, commits: int, side: str) -> range:
    """The commits to die at; a sample of `before` has none in common with one of `after`."""
    every = os.environ.get("TEST_ORDER_RESCUE_CRASH_POINTS") == "all"
    if every or (way.thorough and side == "after"):
        return range(1, commits + 1)
    return range(1 if side == "before" else 3, commits + 1, SAMPLED)


async def told(
    way: Way, folder: Path, http: httpx.AsyncClient, at: int, side: str
) -> tuple[str, int, bool]:
    """One story: what was wrong at its end, its first life's commits, and whether it died."""
    _made(folder)
    async with AsyncExitStack() as stack:
        one = await case(stack, way, folder, http)
        try:
            await one.run(at, side)
            wrong = one.faults()
        except (TimeoutError, AssertionError, KeyError) as error:
            wrong = [f"{type(error).__name__}: {error}", one.service.log.read_text()[-600:]]
        text = "\n".join([*wrong, one.told()]) if wrong else ""
        return text, one.service.commits, one.died


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
async def test_killed_at_any_commit_it_ends_with_one_order(
    way: Way, side: str, tmp_path: Path
) -> None:
    limit = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=10.0, limits=limit) as http:
        wrong, commits, died = await told(way, tmp_path / "alive", http, 0, "")
        assert wrong == ""
        assert not died
        assert commits >= 6, "the listener counts nothing"
        gate = asyncio.Semaphore(ABREAST)

        async def killed(at: int) -> tuple[str, int, bool]:
            async with gate:
                return await told(way, tmp_path / f"killed-{at}", http, at, side)

        points = _points(way, commits, side)
        stories = await asyncio.gather(*map(killed, points))
    failures = [f"commit {at}: {s[0]}" for at, s in zip(points, stories, strict=True) if s[0]]
    assert not failures, "\n".join(failures)
    # Commits that happen to be shared, most so on a busy machine, make a life shorter.
    assert sum(s[2] for s in stories) >= 0.6 * len(points)
