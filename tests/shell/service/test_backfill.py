"""Webhooks that never come: the platform's list of events ends with the same books (§6.6)."""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from consumer.backfill import OVERLAP, Backfill, BackfillFailed
from consumer.catch_up import CatchUp, Pulse
from consumer.clock import SystemClock
from consumer.store import inbox, marks
from deploy.sandbox.server import Options, Sandbox, running
from schemas.facts import Origin
from tests.shell.service.parts import Parts, ShiftedClock, parts
from tests.shell.service.serving import KEY, OPS, eventually
from tests.shell.service.stage import Json, Stage, staged
from tests.shell.test_platform_client import answer, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deaf(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A stage whose webhooks are lost, all of them."""
    async with staged(tmp_path_factory.mktemp("deaf")) as stage:
        await stage.platform("POST", "/_sandbox/faults", {"rates": {"webhook_lost": 1.0}})
        yield stage


async def backfill(stage: Stage, *arguments: str) -> tuple[int, str, str]:
    """The command beside the running service: exit code, standard output, standard error."""
    given = {f"ORDER_RESCUE_{name}": value for name, value in stage.service.settings.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "consumer", "backfill", *arguments),
        env=dict(os.environ) | given,
        cwd=stage.service.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def at_rest(stage: Stage, purchase: Json) -> bool:
    """Whether every fact is decided and no command but timers is left."""
    items = await stage.timeline(purchase)
    facts = {item["status"] for item in items if item["kind"] == "fact"}
    left = [i for i in items if i["kind"] == "command" and i["command"] != "wake"]
    return not facts & {"new", "routed"} and all(item["status"] == "ended" for item in left)


async def test_webhooks_dead_for_the_life_of_several_purchases_end_with_the_same_books(
    deaf: Stage,
) -> None:
    reviewed, blocked = await deaf.paid(last="Review"), await deaf.paid(last="ReviewBlock")
    unpaid = await deaf.checkout()
    first, second, third = [await deaf.buy(each) for each in (reviewed, blocked, unpaid)]
    await deaf.attach(unpaid.id, await deaf.source(unpaid.session))
    settled = {reviewed.upstream: "accepted", blocked.upstream: "blocked"}
    async with asyncio.timeout(15):
        for upstream, state in settled.items():
            while deaf.orders(upstream, live=False)[0]["state"] != state:  # noqa: ASYNC110 - the sandbox sets the pace
                await asyncio.sleep(0.02)
    assert [(await deaf.purchase(p["id"]))["state"] for p in (first, second, third)] == [
        *("pending", "pending", "held")
    ]
    code, out, err = await backfill(deaf, "--since", "2h", "--json")
    assert (code, err) == (0, "")
    done = json.loads(out)
    assert done["read"] == done["new"] > 0
    assert done["dead"] == done["duplicates"] == 0
    await deaf.reaches(first, "accepted")
    await deaf.reaches(second, "lost", "exhausted")
    await deaf.reaches(third, "accepted")
    for checkout in (reviewed, blocked, unpaid):
        assert len(deaf.orders(checkout.upstream, live=False)) == 1
        assert len(deaf.submissions(checkout.upstream)) == 1
        deaf.in_order(checkout.upstream)


async def test_a_second_backfill_brings_duplicates_only_and_decides_nothing(deaf: Stage) -> None:
    bought = await deaf.buy(await deaf.paid())
    for _ in range(3):  # what was decided meanwhile may have led to more events
        code, out, err = await backfill(deaf, "--since", "1h")
        assert code == 0
        await eventually(lambda: at_rest(deaf, bought), 30.0)
        if ", 0 new," in out:
            break
    before = await deaf.rules(bought)
    code, out, err = await backfill(deaf, "--since", "1h")
    assert ", 0 new," in out
    assert "events read" in err  # its progress
    assert await deaf.rules(bought) == before


async def test_a_webhook_and_its_backfilled_copy_are_one_fact(deaf: Stage) -> None:
    await deaf.http.delete(deaf.sandbox.url + "/_sandbox/faults")
    bought = await deaf.buy(await deaf.paid(last="Review"))
    await deaf.reaches(bought, "accepted")
    told = {f["id"] for f in await deaf.timeline(bought) if f.get("origin") == "platform"}
    await backfill(deaf, "--since", "1h")
    items = await deaf.timeline(bought)
    events = [f for f in items if f["kind"] == "fact" and f["origin"] == "platform"]
    assert len({f["id"] for f in events}) == len(events), "an event is there twice"
    assert told
    assert {f["transport"] for f in events if f["id"] in told} == {"webhook"}


async def test_the_gauges_tell_of_the_last_event_and_of_what_waits(deaf: Stage) -> None:
    await deaf.buy(await deaf.checkout())

    async def gauge(name: str, **labels: str) -> float:
        return await deaf.metric(f"order_rescue_{name}", **labels)

    async with asyncio.timeout(30):
        while await gauge("purchases", state="held", reason="payment_required") < 1:  # noqa: ASYNC110 - the service's own pace
            await asyncio.sleep(0.1)
    assert await gauge("oldest_unresolved_seconds", state="held") > 0
    assert await gauge("oldest_unresolved_seconds", state="review") == 0
    await backfill(deaf, "--since", "1h")

    async def aged() -> bool:
        page = (await deaf.http.get(deaf.service.url + "/metrics")).text
        # By which way the events came depends on what the stage's other shoppers went through.
        return "order_rescue_platform_event_age_seconds{" in page

    await eventually(aged, 30.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "soon"), "a time is written like"),
        (("--since", "1h", "--until", "2h"), "--since must be before --until"),
    ],
)
async def test_times_that_make_no_sense_are_refused(
    deaf: Stage, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = await backfill(deaf, *arguments)
    assert (code, words in err) == (2, True), err


async def test_a_page_that_cannot_be_read_is_reported(deaf: Stage) -> None:
    deaf.service.settings["PLATFORM_KEY"] = "sk_live_wrong"
    try:
        code, out, err = await backfill(deaf, "--since", "1h")
    finally:
        deaf.service.settings["PLATFORM_KEY"] = KEY
    assert (code, out) == (1, "")
    assert "status 401" in err
    assert "stored so far: 0 events read" in err


async def test_after_a_stop_the_start_catches_up(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        checkout = await stage.paid(last="Review")
        await stage.buy(await stage.paid())  # its events are seen
        pending = await stage.buy(checkout)
        await stage.service.kill()
        async with asyncio.timeout(15):
            while stage.orders(checkout.upstream)[0]["state"] != "accepted":  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        stage.sandbox.world.webhooks.clear()  # nothing is pushed any more
        await stage.service.start()
        await stage.reaches(pending, "accepted")
        facts = [f for f in await stage.timeline(pending) if f["kind"] == "fact"]
        assert "backfill" in {f["transport"] for f in facts}
        listed = await stage.call("GET", "/v1/dead-letters", token=OPS)
        assert listed.json()["data"] == []


# -- the parts, without the process --------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(Options(keys=(KEY,), rate=1000.0)) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def shop(tmp_path: Path, sandbox: Sandbox) -> AsyncIterator[Parts]:
    async with parts(tmp_path, sandbox.url) as found:
        yield found


def emit(sandbox: Sandbox, number: int) -> None:
    for each in range(number):
        sandbox.world.emit("order.accepted", True, {"id": f"o{each}", "checkoutId": f"c{each}"})


def catching_up(shop: Parts) -> CatchUp:
    clock = SystemClock()
    work = Backfill(shop.store, shop.platform, clock)
    return CatchUp(shop.store, work, clock, Pulse(), lambda: None)


async def count(shop: Parts) -> dict[str, int]:
    """Facts by status."""
    with closing(sqlite3.connect(shop.database)) as raw:
        return dict(raw.execute("SELECT status, count(*) FROM inbox GROUP BY status"))


async def test_pages_are_followed_to_the_end_and_each_event_is_stored_once(
    shop: Parts, sandbox: Sandbox
) -> None:
    emit(sandbox, 250)
    told: list[int] = []
    work = Backfill(shop.store, shop.platform, SystemClock(), lambda s: told.append(s.read))
    hour = datetime.now(UTC) - timedelta(hours=1)
    done = await work.run(hour)
    assert (done.pages, done.read, done.new, done.duplicates) == (3, 250, 250, 0)
    assert told == [100, 200, 250]
    again = await work.run(hour)
    assert (again.read, again.new, again.duplicates) == (250, 0, 250)
    assert await count(shop) == {"new": 250}


async def test_a_crash_in_the_middle_repeats_pages_and_loses_none(
    shop: Parts, sandbox: Sandbox
) -> None:
    emit(sandbox, 250)
    start = datetime.now(UTC) - timedelta(hours=1)
    await shop.store.write(lambda c: marks.advance(c, marks.CAUGHT_UP, start))

    class Killed(Exception):
        pass

    def die(_done: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        await Backfill(shop.store, shop.platform, SystemClock(), die).run(start)
    assert await shop.store.read(lambda c: marks.at(c, marks.CAUGHT_UP)) == start
    catch_up = catching_up(shop)
    done = await catch_up.once()
    assert done is not None
    assert (done.new, done.duplicates) == (150, 100)
    moved = await shop.store.read(lambda c: marks.at(c, marks.CAUGHT_UP))
    assert moved == done.until


async def test_a_push_that_was_lost_is_found_although_later_ones_came(
    shop: Parts, sandbox: Sandbox
) -> None:
    emit(sandbox, 2)
    lost, later = sandbox.world.events.values()
    body = json.dumps(later.body).encode()
    pushed = inbox.Delivery(Origin.PLATFORM, later.id, later.type, "webhook", body, "o1")
    await shop.store.write(lambda c: inbox.append(c, [pushed], datetime.now(UTC)))
    catch_up = catching_up(shop)
    done = await catch_up.once()
    assert done is not None
    assert (done.new, done.duplicates) == (1, 1)
    assert lost.id != later.id


async def test_the_first_start_catches_up_nothing_and_the_next_one_from_there(
    shop: Parts, sandbox: Sandbox
) -> None:
    emit(sandbox, 3)
    begun = datetime.now(UTC)
    catch_up = catching_up(shop)
    assert await catch_up.once() is None
    assert await count(shop) == {}
    done = await catch_up.once()
    assert done is not None
    assert done.since >= begun - OVERLAP


async def test_nobody_asks_for_more_than_thirty_days_and_the_mark_moves_on(
    shop: Parts, sandbox: Sandbox
) -> None:
    emit(sandbox, 1)
    long_ago = datetime.now(UTC) - timedelta(days=90)
    await shop.store.write(lambda c: marks.advance(c, marks.CAUGHT_UP, long_ago))
    catch_up = catching_up(shop)
    done = await catch_up.once()
    assert done is not None
    assert datetime.now(UTC) - done.since < timedelta(days=30, minutes=1)
    assert await shop.store.read(lambda c: marks.at(c, marks.CAUGHT_UP)) == done.until


@pytest.mark.parametrize(
    ("since", "moves"), [(timedelta(hours=3), True), (timedelta(hours=1), False)]
)
async def test_a_backfill_moves_the_mark_only_if_it_joins_on(
    shop: Parts, since: timedelta, moves: bool
) -> None:
    now = datetime.now(UTC)
    known = now - timedelta(hours=2)
    await shop.store.write(lambda c: marks.advance(c, marks.CAUGHT_UP, known))
    await Backfill(shop.store, shop.platform, SystemClock()).run(now - since)
    after = await shop.store.read(lambda c: marks.at(c, marks.CAUGHT_UP))
    assert after is not None
    assert (after > known) is moves


async def test_entries_that_are_no_events_are_dead_letters_once_and_stop_nothing(
    shop: Parts, sandbox: Sandbox
) -> None:
    emit(sandbox, 5)
    events = list(sandbox.world.events.values())
    bodies: list[Json] = [event.body for event in events]
    del bodies[0]["type"]
    bodies[1]["data"] = "none"
    bodies[2]["createdTime"] = "yesterday"
    work = Backfill(shop.store, shop.platform, SystemClock())
    hour = datetime.now(UTC) - timedelta(hours=1)
    for new, dead in ((2, 3), (0, 0)):
        done = await work.run(hour)
        assert (done.read, done.new, done.dead) == (5, new, dead)
    assert await count(shop) == {"new": 2, "dead": 3}


async def test_a_list_that_is_none_is_tried_again_and_then_given_up(
    tmp_path: Path,
) -> None:
    class Hurried(ShiftedClock):
        """A clock whose waits are over at once, and that remembers them."""

        waited: list[float]

        async def sleep(self, seconds: float) -> None:
            self.waited.append(seconds)

    clock = Hurried(0.0)
    clock.waited = []
    async with serving(answer(200, {"data": "none", "hasMore": False})) as wire:
        async with parts(tmp_path, f"http://127.0.0.1:{wire.port}") as shop:
            work = Backfill(shop.store, shop.platform, clock)
            with pytest.raises(BackfillFailed, match="can't be read"):
                await work.run(datetime.now(UTC) - timedelta(hours=1))
    assert clock.waited == [1.0, 5.0, 15.0, 60.0]


@pytest.mark.parametrize("ids", [["a"], ["a", "b"], ["a", "b", "c"]], ids=len)
async def test_pages_that_come_again_end_the_backfill(tmp_path: Path, ids: list[str]) -> None:
    pages = [answer(200, {"data": [{"id": id}], "hasMore": True}) for id in ids]
    async with serving(*pages, *pages) as wire:
        async with parts(tmp_path, f"http://127.0.0.1:{wire.port}") as shop:
            work = Backfill(shop.store, shop.platform, SystemClock())
            with pytest.raises(BackfillFailed, match="does not go on") as failed:
                await work.run(datetime.now(UTC) - timedelta(hours=1))
    assert failed.value.done.pages == len(ids) + 1


def at(minutes: float) -> datetime:
    return datetime(2024, 5, 2, 9, 0, tzinfo=UTC) + timedelta(minutes=minutes)


async def test_silence_and_time_bring_another_catch_up() -> None:
    pulse = Pulse()
    unused = partial(CatchUp, None, None, None)  # type: ignore[arg-type]  # only its rule is asked
    due = unused(pulse, lambda: None)._due
    assert due(None, None, at(0))
    assert not due(at(0), None, at(14))
    assert due(at(0), None, at(15))
    pulse.heard("backfill", at(10))
    assert due(at(0), None, at(15))
    pulse.heard("webhook", at(10))
    assert not due(at(0), None, at(24))
    assert due(at(0), None, at(25))
    pulse.heard("webhook", at(359))
    assert due(at(0), None, at(360))
    assert not due(at(0), at(20), at(20.5))
    assert due(at(0), at(20), at(21))
