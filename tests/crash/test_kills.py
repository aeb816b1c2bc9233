"""The service is killed at the commits of every way to an order, and started again.

After every commit of the first three ways. Of the others, which mostly walk where those do, and of
the moments just before a commit, a sample; with TEST_ORDER_RESCUE_CRASH_POINTS=all (the nightly
run) at all of them.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.crash.shopper import DECLINED_CARD, Way, case
from tests.services.postgres import Postgres

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
ON_POSTGRES = WAYS[0], WAYS[5]


def _made(folder: Path) -> None:
    folder.mkdir()


def _points(way: Way, commits: int, side: str) -> range:
    """The commits to die at; a sample of `before` has none in common with one of `after`."""
    every = os.environ.get("TEST_ORDER_RESCUE_CRASH_POINTS") == "all"
    if every or (way.thorough and side == "after"):
        return range(1, commits + 1)
    return range(1 if side == "before" else 3, commits + 1, SAMPLED)


async def told(
    way: Way,
    folder: Path,
    http: httpx.AsyncClient,
    at: int,
    side: str,
    database_url: str = "",
) -> tuple[str, int, bool]:
    """One story: what was wrong at its end, its first life's commits, and whether it died."""
    _made(folder)
    async with AsyncExitStack() as stack:
        one = await case(stack, way, folder, http, database_url)
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
    await _killed_at(lambda commits: _points(way, commits, side), way, side, tmp_path)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("way", ON_POSTGRES, ids=[way.name for way in ON_POSTGRES])
async def test_killed_on_postgresql_it_ends_with_one_order(
    way: Way, side: str, tmp_path: Path, postgres: Postgres
) -> None:
    """A sample: after each death the next life waits for the lease of the one before."""

    def points(commits: int) -> range:
        every = 1 if os.environ.get("TEST_ORDER_RESCUE_CRASH_POINTS") == "all" else SAMPLED
        return range(1 if side == "before" else 2, commits + 1, every)

    await _killed_at(points, way, side, tmp_path, postgres.fresh)


async def _killed_at(
    points: Callable[[int], range],
    way: Way,
    side: str,
    folder: Path,
    database: Callable[[], str] = lambda: "",
) -> None:
    """Tell the story once to count its commits, then once for each of the points among them."""
    limit = httpx.Limits(max_connections=None)

    async def url() -> str:
        return await asyncio.to_thread(database)

    async with httpx.AsyncClient(timeout=10.0, limits=limit) as http:
        wrong, commits, died = await told(way, folder / "alive", http, 0, "", await url())
        assert wrong == ""
        assert not died
        assert commits >= 6, "the listener counts nothing"
        gate = asyncio.Semaphore(ABREAST)

        async def killed(at: int) -> tuple[str, int, bool]:
            async with gate:
                here = folder / f"killed-{at}"
                return await told(way, here, http, at, side, await url())

        chosen = points(commits)
        stories = await asyncio.gather(*map(killed, chosen))
    failures = [f"commit {at}: {s[0]}" for at, s in zip(chosen, stories, strict=True) if s[0]]
    assert not failures, "\n".join(failures)
    # Commits that happen to be shared, most so on a busy machine, make a life shorter.
    assert sum(s[2] for s in stories) >= 0.6 * len(chosen)
