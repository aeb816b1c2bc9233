"""The service: how it starts, and how it ends."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from importlib.metadata import version

import httpx
import structlog
from httpx_aiohttp import AiohttpTransport

from consumer.catch_up import Pulse
from consumer.clock import Clock, SharedClock, SystemClock
from consumer.kafka.cluster import Cluster, KafkaAway, cluster
from consumer.kafka.publisher import Publisher
from consumer.observe import Metrics, calls
from consumer.parts import Service
from consumer.platform import LocalLimiter, Platform, SharedLimiter
from consumer.roles import ALL, CALLERS, Role
from consumer.settings import Settings
from consumer.sharing import Sharing, share_of
from consumer.store import entries, leases
from consumer.store.lock import database_file, exclusive
from consumer.store.migrate import migrate
from consumer.store.opening import is_postgres, open_engine, open_store
from consumer.store.postgres import connector
from consumer.store.timekeeping import set_clock

log = structlog.get_logger("order_rescue")


async def serve(settings: Settings, roles: frozenset[Role] = ALL) -> None:
    """Run until SIGTERM or SIGINT, then finish what is under way.

    Raises DatabaseInUse, SchemaUnknown, StoreUnavailable or KafkaUnusable when it can't start,
    and an ExceptionGroup when a part of it fails: then the process must end.
    """
    with _to_itself(settings.database_url):
        stop = asyncio.Event()
        async with _service(settings, roles) as service:
            _settle_memory()
            with _stopping_on_signals(stop):
                async with _sharing(service), asyncio.TaskGroup() as group:
                    for name, part in service.parts(stop).items():
                        service.tasks[name] = group.create_task(part, name=name)
        log.info("stopped")


def _settle_memory() -> None:
    """What is here now stays: the collector of cycles need not look at it time and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@asynccontextmanager
async def _sharing(service: Service) -> AsyncIterator[None]:
    """Renew the share of the rate until the last call was made, which is after the stop."""
    if service.sharing is None:
        yield
        return
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        service.tasks["sharing"] = group.create_task(service.sharing.run(done), name="sharing")
        try:
            yield
        finally:
            done.set()


async def _kafka(settings: Settings, roles: frozenset[Role]) -> Cluster | None:
    """The cluster, if there is one and we use it. One that is away may come back; one that
    refuses us, or lacks a topic, needs a person. Raises KafkaUnusable."""
    if not settings.kafka or not roles & {Role.KAFKA, Role.RELAY}:
        return None
    found = cluster(settings)
    try:
        await found.check()
    except KafkaAway as error:
        log.warning("kafka can't be reached now; it is waited for", why=str(error))
    return found


def _to_itself(url: str) -> AbstractContextManager[None]:
    """A SQLite file serves one process; a PostgreSQL database any number."""
    return nullcontext() if is_postgres(url) else exclusive(database_file(url))


@asynccontextmanager
async def _service(settings: Settings, roles: frozenset[Role]) -> AsyncIterator[Service]:
    kafka = await _kafka(settings, roles)
    engine = open_engine(
        settings.database_url,
        pool_size=settings.database_pool_size,
        statement_timeout=settings.database_statement_timeout,
    )
    await asyncio.to_thread(migrate, engine)
    store, metrics, connect = open_store(engine), Metrics(), None
    clock: Clock = SystemClock()
    if is_postgres(settings.database_url):
        connect = connector(settings.database_url, settings.database_statement_timeout)
        clock = shared = SharedClock(clock)
        await set_clock(store, shared)
    limiter, sharing = _limiter(settings, clock, roles)
    platform = Platform(
        url=settings.platform_url,
        key=settings.platform_key.get_secret_value(),
        limiter=limiter,
        clock=clock,
        version=settings.platform_version,
        timeout=settings.platform_timeout,
        application=f"order-rescue/{version('order-rescue')}",
        observe=calls(metrics),
    )
    client = httpx.AsyncClient(transport=AiohttpTransport(), timeout=None, trust_env=False)
    try:
        if not is_postgres(settings.database_url):
            # This process holds the file's lock, so whoever held these leases is dead.
            await store.write(lambda connection: leases.end_all(connection, clock.now()))
        pulse = Pulse(await store.read(entries.last_heard))
        publisher = Publisher(kafka) if kafka else None
        async with platform, client, AsyncExitStack() as stack:
            if publisher:
                stack.push_async_callback(publisher.close)
            yield Service(
                *(settings, store, platform, limiter, client, clock, metrics, roles),
                *(kafka, publisher, pulse, connect, sharing),
            )
    finally:
        if sharing:
            await sharing.store.close()
        await store.close()


def _limiter(
    settings: Settings, clock: Clock, roles: frozenset[Role]
) -> tuple[LocalLimiter, Sharing | None]:
    """On PostgreSQL a share of the rate for whoever calls; else all of it."""
    if not is_postgres(settings.database_url):
        return LocalLimiter(settings.platform_rate, clock), None
    limiter = SharedLimiter(clock)
    if not roles & CALLERS:
        return limiter, None
    return limiter, share_of(settings, clock, limiter)


@contextmanager
def _stopping_on_signals(stop: asyncio.Event):  # type: ignore[no-untyped-def]  # a generator of nothing
    """SIGTERM and SIGINT set `stop`; installed before uvicorn could install its own."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
