"""`python -m deploy.demo`: shoppers through a sandbox that misbehaves, then the books."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from httpx_aiohttp import AiohttpTransport
from rich.console import Console

from . import screen
from .audit import Auditor
from .books import Finding, Kind, balance
from .crowd import Crowd, gather
from .processes import Failed, Stage
from .storefront import Storefront
from .trouble import LATE, Trouble

TIMEOUT = 3.0  # seconds for one call of the service to the platform
SETTLE = 5.0  # seconds; the latest commit and the list lag together take less
SPEED = 60.0  # of the sandbox's clock: its webhook retries come after 1, 5, 30 … seconds
MEMORY = 250 * 2**20  # bytes that the service may use at most
BACKFILL_EVERY = 5.0  # seconds
SHOWN = 3  # offending purchases whose timelines are printed


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    shoppers: int
    seed: int
    kills: int
    deadline: float
    keep: bool
    webhooks: bool


def options_of(arguments: Sequence[str] | None = None) -> Options:
    """Ends the program if the arguments are not understood."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
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


async def demo(options: Options, console: Console, folder: Path) -> bool:
    """One whole run; True if the books balance and the service kept its manners."""
    began = time.monotonic()
    stage = Stage(folder, options.seed, SPEED, SETTLE, TIMEOUT, options.webhooks)
    transport = AiohttpTransport()
    try:
        async with httpx.AsyncClient(transport=transport, timeout=15.0) as http:
            await stage.start(http)
            console.print(f"sandbox at {stage.sandbox_url}, service at {stage.url}")
            crowd = await _shop(options, console, stage, http, began)
            balanced = await _settle_up(console, stage, http, crowd)
            return await _manners(console, stage, crowd, began) and balanced
    except (Failed, httpx.HTTPError) as error:
        console.print(f"the demo broke off: {str(error) or type(error).__name__}", style="red")
        console.print(stage.service.tail() or stage.sandbox.tail(), markup=False)
        return False
    finally:
        await stage.stop()


async def _shop(
    options: Options, console: Console, stage: Stage, http: httpx.AsyncClient, began: float
) -> Crowd:
    """Lets all shoppers in, and kills the service meanwhile."""
    trouble = Trouble(http, stage.sandbox_url)
    await trouble.begin()
    shop = Storefront(http, stage.sandbox_url, stage.shop_key, stage.url, stage.shop_token)
    crowd = gather(options.shoppers, options.seed, shop, trouble)
    try:
        async with asyncio.timeout(options.deadline), asyncio.TaskGroup() as group:
            watching = group.create_task(screen.show(console, crowd, began))
            group.create_task(_trouble_service(options.kills, crowd, stage, http))
            filling = group.create_task(_backfill(crowd, stage))
            await crowd.shop()
            watching.cancel()
            filling.cancel()
    except TimeoutError:
        console.print(f"the time is over after {options.deadline:g} seconds", style="red")
        for one in crowd.visits:
            if not one.ended:
                told = f"still in the shop: {one.shopper.name} ({one.situation.name}), {one.state}"
                console.print(told, style="red", highlight=False)
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    return crowd


async def _trouble_service(kills: int, crowd: Crowd, stage: Stage, http: httpx.AsyncClient) -> None:
    """Kills the service after equal parts of the crowd, and sees that it runs otherwise.

    Raises Failed if it ends by itself.
    """
    whole = len(crowd.visits)
    while crowd.ended < whole:
        if stage.service.ended is not None:
            raise Failed(f"the service ended by itself with code {stage.service.ended}")
        stage.service.measure()
        if crowd.kills < kills and crowd.ended >= whole * (crowd.kills + 1) / (kills + 1):
            crowd.kills, crowd.down = crowd.kills + 1, True
            await stage.restart_service(http)
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
    return books.balanced and not errors


def _offending(findings: Sequence[Finding]) -> list[str]:
    """The purchases to tell about, each once, the worst kinds first."""
    kinds = list(Kind)
    ordered = sorted(findings, key=lambda finding: kinds.index(finding.kind))
    return list(dict.fromkeys(one.purchase_id for one in ordered if one.purchase_id))[:SHOWN]


async def _manners(console: Console, stage: Stage, crowd: Crowd, began: float) -> bool:
    """Ends the service and shows how long all took and how much memory it needed at most."""
    code = await stage.stop()
    peak = stage.service.peak
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


async def main(options: Options, console: Console) -> int:
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


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(options_of(), console())))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
