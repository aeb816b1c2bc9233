"""One whole run: shoppers, a sandbox that misbehaves, a service that is killed, the books."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport
from rich.console import Console

from . import screen
from .audit import Auditor
from .books import Finding, Kind, balance
from .crowd import Crowd, gather
from .processes import Failed, Stage
from .stacks import stacks
from .storefront import Storefront
from .trouble import LATE, Trouble

TIMEOUT = 3.0  # seconds for one call of the service to the platform
SETTLE = 5.0  # seconds; the latest commit and the list lag together take less
SPEED = 60.0  # of the sandbox's clock: its webhook retries come after 1, 5, 30 … seconds
MEMORY = 250 * 2**20  # bytes that one process of the service may use at most
BACKFILL_EVERY = 5.0  # seconds
SHOWN = 3  # offending purchases whose timelines are printed


class TimeOver(Exception):
    """Some are still in the shop at the end."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    shoppers: int
    seed: int
    kills: int
    deadline: float
    keep: bool
    webhooks: bool


@dataclass(frozen=True, slots=True)
class More:
    """What a larger stage adds: trouble while the crowd shops, and books of its own, which say
    whether they are right. `away`: seconds from a kill to the fresh start."""

    trouble: Callable[[Crowd], Coroutine[Any, Any, None]]
    books: Callable[[], Awaitable[bool]]
    away: float


Demo = Callable[[Options, Console, Path], Awaitable[bool]]


def options_of(program: str, about: str | None, arguments: Sequence[str] | None = None) -> Options:
    """Ends the program if the arguments are not understood."""
    parser = argparse.ArgumentParser(prog=program, description=about)
    add = parser.add_argument
    add("--shoppers", type=int, default=300)
    add("--seed", type=int, default=1, help="who comes when, and which faults strike")
    add("--kills", type=int, default=2, help="how often the service is killed with SIGKILL")
    add("--deadline", type=float, default=300.0, help="seconds that all shoppers have together")
    add(
        "--no-webhooks",
        action="store_true",
        help="all webhooks are lost; `order-rescue backfill` brings the events instead",
    )
    add("--quick", action="store_true", help="24 shoppers, one kill")
    add("--keep", action="store_true", help="keep logs and database in any case")
    found = parser.parse_args(arguments)
    if found.shoppers < 1 or found.kills < 0 or found.deadline <= 0:
        parser.error("--shoppers and --deadline must be above zero, --kills not below")
    shoppers, kills = (24, 1) if found.quick else (found.shoppers, found.kills)
    return Options(
        *(shoppers, found.seed, kills, found.deadline, found.keep), not found.no_webhooks
    )


def stage_of(options: Options, folder: Path, **more: Any) -> Stage:
    """The sandbox and the service as these options want them."""
    return Stage(folder, options.seed, SPEED, SETTLE, TIMEOUT, options.webhooks, **more)


async def play(options: Options, console: Console, stage: Stage, more: More | None = None) -> bool:
    """True if the books balance, all have gone home and the service kept its manners."""
    began = time.monotonic()
    transport = AiohttpTransport()
    try:
        async with httpx.AsyncClient(transport=transport, timeout=15.0) as http:
            await stage.start(http)
            console.print(f"sandbox at {stage.sandbox_url}, service at {', '.join(stage.urls)}")
            crowd = await _shop(options, console, stage, http, began, more)
            balanced = await _settle_up(console, stage, http, crowd)
            if more:
                balanced = await more.books() and balanced
            return await _manners(console, stage, crowd, began) and balanced
    except (Failed, httpx.HTTPError) as error:
        console.print(f"the demo broke off: {str(error) or type(error).__name__}", style="red")
        console.print(stage.tail(), markup=False)
        return False
    finally:
        await stage.stop()


async def _shop(
    options: Options, console: Console, stage: Stage, http: httpx.AsyncClient, began: float,
    more: More | None,
) -> Crowd:  # fmt: skip
    """Lets all shoppers in, and kills the service meanwhile."""
    trouble = Trouble(http, stage.sandbox_url)
    await trouble.begin()
    shop = Storefront(http, stage.sandbox_url, stage.shop_key, stage.urls, stage.shop_token)
    crowd = gather(options.shoppers, options.seed, shop, trouble)
    away = more.away if more else 0.0
    try:
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(screen.show(console, crowd, began)),
                group.create_task(_close(options.deadline, stage.folder)),
                group.create_task(_backfill(crowd, stage)),
            ]
            group.create_task(_trouble_service(options.kills, crowd, stage, http, away))
            if more:
                group.create_task(more.trouble(crowd))
            await crowd.shop()
            for task in beside:
                task.cancel()
    except* TimeOver:
        _tell_who_is_left(console, crowd, options.deadline)
    except* (Failed, httpx.HTTPError) as errors:
        raise errors.exceptions[0] from None
    return crowd


async def _close(deadline: float, folder: Path) -> None:
    """Sends everybody away. Raises TimeOver, and leaves where each task stood in `stacks.txt`."""
    await asyncio.sleep(deadline)
    (folder / "stacks.txt").write_text(stacks())
    raise TimeOver


def _tell_who_is_left(console: Console, crowd: Crowd, deadline: float) -> None:
    console.print(f"the time is over after {deadline:g} seconds", style="red")
    for one in crowd.left:
        told = f"still in the shop: {one.shopper.name} ({one.situation.name}), {one.state}"
        console.print(told, style="red", highlight=False)


async def _trouble_service(
    kills: int, crowd: Crowd, stage: Stage, http: httpx.AsyncClient, away: float
) -> None:
    """Kills replicas in turn after equal parts of the crowd, and sees that they run otherwise.

    Raises Failed if one ends by itself.
    """
    whole = len(crowd.visits)
    while crowd.ended < whole:
        for service in stage.services:
            if service.ended is not None:
                raise Failed(f"the {service.name} ended by itself with code {service.ended}")
            service.measure()
        if crowd.kills < kills and crowd.ended >= whole * (crowd.kills + 1) / (kills + 1):
            number = crowd.kills % len(stage.services)
            crowd.kills, crowd.down = crowd.kills + 1, True
            await stage.restart_service(http, number, away)
            crowd.down = False
        await asyncio.sleep(0.1)


async def _backfill(crowd: Crowd, stage: Stage) -> None:
    """Once all are in the shop, whoever waits for a lost event gets it from the platform's list.

    With webhooks only when nobody gets on any more: the service itself would look in an hour.
    """
    before = -1
    while True:
        await asyncio.sleep(BACKFILL_EVERY)
        idle = not stage.webhooks or crowd.ended == before
        before = crowd.ended
        if idle and all(visit.started for visit in crowd.visits) and not crowd.down:
            await stage.backfill()


async def _settle_up(console: Console, stage: Stage, http: httpx.AsyncClient, crowd: Crowd) -> bool:
    """Reads both sides and shows what they come to."""
    await asyncio.sleep(LATE)  # whatever the platform still makes late is made by then
    auditor = Auditor(http, stage.url, stage.operator_token)
    ledger = await Trouble(http, stage.sandbox_url).ledger()
    purchases = await auditor.purchases()
    timelines = await auditor.timelines(purchases)
    books = balance(ledger, purchases, timelines, [one.expectation for one in crowd.visits])
    console.print(screen.weather(ledger), highlight=False, soft_wrap=True)
    console.print(screen.result(crowd, ledger, purchases, books))
    errors = [f"{one.shopper.name}: {one.error}" for one in crowd.visits if one.error]
    for line in screen.first([*(f"{one.kind}: {one.text}" for one in books.findings), *errors]):
        console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    for purchase_id in _offending(books.findings):
        told = screen.story(purchase_id, timelines[purchase_id])
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    console.print(books.line(), highlight=False, soft_wrap=True)
    return books.balanced and not errors and not crowd.left


def _offending(findings: Sequence[Finding]) -> list[str]:
    """The purchases to tell about, each once, the worst kinds first."""
    kinds = list(Kind)
    ordered = sorted(findings, key=lambda finding: kinds.index(finding.kind))
    return list(dict.fromkeys(one.purchase_id for one in ordered if one.purchase_id))[:SHOWN]


async def _manners(console: Console, stage: Stage, crowd: Crowd, began: float) -> bool:
    """Ends the service and shows how long all took and how much memory it needed at most."""
    code = await stage.stop()
    peak = stage.peak
    used = f"{peak / 2**20:.0f} MB" if peak else "not measured on this system"
    console.print(
        f"{len(crowd.visits)} shoppers in {time.monotonic() - began:.0f} s; the service was killed "
        f"{crowd.kills} times, ended with code {code} and needed {used} of memory at most",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    if code != 0:
        console.print("the service did not end cleanly", style="red")
    if peak >= MEMORY:
        console.print(f"the service needed more than {MEMORY // 2**20} MB", style="red")
    return code == 0 and peak < MEMORY


def console() -> Console:
    """Wide enough for the tables where no terminal says how wide it is."""
    return Console() if sys.stdout.isatty() else Console(width=140)


async def main(demo: Demo, options: Options, console: Console) -> int:
    """The exit code; the folder with logs and database is kept if anything went wrong."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job ignores SIGINT
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    folder = Path(tempfile.mkdtemp(prefix="order-rescue-demo-"))
    good = False
    try:
        good = await demo(options, console, folder)
    finally:
        if good and not options.keep:
            shutil.rmtree(folder)
        else:
            console.print(f"logs and database are kept in {folder}", highlight=False)
    return 0 if good else 1


def run(demo: Demo, program: str, about: str | None) -> int:
    """A demo as a program: its exit code."""
    try:
        return asyncio.run(main(demo, options_of(program, about), console()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
