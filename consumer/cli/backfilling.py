"""`backfill`: the platform's events of a stretch of time, into the inbox of a running service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from consumer.backfill import Backfill, BackfillFailed, Summary
from consumer.cli.failures import USAGE, Failure
from consumer.cli.opening import engine_for, in_database
from consumer.cli.printing import console, print_json
from consumer.clock import Clock, SystemClock
from consumer.observe import configure
from consumer.platform import LocalLimiter, Platform, SharedLimiter
from consumer.settings import Settings, load
from consumer.settings.values import seconds
from consumer.sharing import share_of
from consumer.store.opening import is_postgres, open_store

SHARE = 0.05  # of the rate: the service beside us has shoppers who wait


def backfill(*, since: str, until: str | None, as_json: bool) -> None:
    """Read and store. Raises Failure where a page can't be read; what was stored stays."""
    settings = load()
    configure(settings.log_format, settings.log_level)
    clock = SystemClock()
    start, end = moment(since, clock), moment(until, clock) if until else None
    if start >= (end or clock.now()):
        raise Failure("--since must be before --until", USAGE)
    in_database(lambda _connection: None)  # its own complaints: no file, other tables
    try:
        done = asyncio.run(_run(settings, start, end, clock, quiet=as_json))
    except BackfillFailed as error:
        if as_json:
            print_json(written(error.done) | {"failed": str(error)})
        raise Failure(f"{error}; stored so far: {told(error.done)}") from error
    if as_json:
        return print_json(written(done))
    console().print(f"done: {told(done)}")


def moment(text: str, clock: Clock) -> datetime:
    """`2h` or `3d` ago, or an ISO time, in UTC where it does not say. Raises Failure."""
    try:
        ago: float = seconds(text)
        return clock.now() - timedelta(seconds=ago)
    except (ValueError, OverflowError):
        pass  # not so long ago: a time
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Failure("a time is written like 2h, 3d or 2024-05-02T09:00:00Z", USAGE) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def told(done: Summary) -> str:
    """The summary in one line."""
    return (
        f"{done.read} events read, {done.new} new, {done.duplicates} known before,"
        f" {done.dead} dead letters ({done.pages} pages, from {_iso(done.since)}"
        f" to {_iso(done.until)})"
    )


def written(done: Summary) -> dict[str, Any]:
    """The summary as JSON."""
    return asdict(done) | {"since": _iso(done.since), "until": _iso(done.until)}


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


async def _run(
    settings: Settings, since: datetime, until: datetime | None, clock: Clock, *, quiet: bool
) -> Summary:
    store = open_store(engine_for(settings))

    def progress(done: Summary) -> None:
        if not quiet:
            print(f"order-rescue: {told(done)}", file=sys.stderr)

    try:
        async with _limiter(settings, clock) as limiter:
            async with _platform(settings, clock, limiter) as platform:
                return await Backfill(store, platform, clock, progress).run(since, until)
    finally:
        await store.close()


def _platform(settings: Settings, clock: Clock, limiter: LocalLimiter) -> Platform:
    return Platform(
        settings.platform_url,
        settings.platform_key.get_secret_value(),
        limiter,
        clock,
        version=settings.platform_version,
        timeout=settings.platform_timeout,
    )


@asynccontextmanager
async def _limiter(settings: Settings, clock: Clock) -> AsyncIterator[LocalLimiter]:
    """A little of the rate; on PostgreSQL out of what the processes of the service share."""
    rate = max(0.5, settings.platform_rate * SHARE)
    if not is_postgres(settings.database_url):
        yield LocalLimiter(rate, clock, burst=1.0)
        return
    limiter, done = SharedLimiter(clock), asyncio.Event()
    sharing = share_of(settings, clock, limiter, most=rate)
    renewing = asyncio.create_task(sharing.run(done))
    try:
        yield limiter
    finally:
        done.set()
        await renewing
        await sharing.store.close()
