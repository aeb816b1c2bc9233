"""The service: what it consists of, how it starts, and how it ends."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

import httpx
import structlog
from httpx_aiohttp import AiohttpTransport

from consumer.backfill import Backfill
from consumer.catch_up import CatchUp, Pulse
from consumer.clock import Clock, SharedClock, SystemClock
from consumer.forgetter import Forgetter
from consumer.kafka.cluster import Cluster, KafkaAway, cluster
from consumer.kafka.letters import DeadLetters
from consumer.kafka.publisher import OutcomesTopic, Publisher
from consumer.kafka.source import Source
from consumer.observe import Metrics, calls
from consumer.platform import LocalLimiter, Platform
from consumer.presence import Presence
from consumer.purger import Purger
from consumer.relay import Endpoint, Relay, Sink
from consumer.router import Router
from consumer.settings import Settings
from consumer.settings.remedies import load_changes
from consumer.signals import Signal
from consumer.store import inbox, leases
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.levels import levels
from consumer.store.lock import database_file, exclusive
from consumer.store.migrate import migrate
from consumer.store.opening import is_postgres, open_engine, open_store
from consumer.store.postgres import connector
from consumer.store.timekeeping import keep_time, set_clock
from consumer.waking import Waking
from consumer.watch import Watch
from consumer.web.app import application
from consumer.web.deps import Deps, webhook_rules
from consumer.web.server import listener
from consumer.web.server import serve as serve_http
from consumer.worker import Worker
from handlers.policy import Policy
from handlers.redirects import LOOPBACK

GAUGES_EVERY = 5.0  # seconds
log = structlog.get_logger("order_rescue")


def policy(settings: Settings) -> Policy:
    """The merchant's choices for the rules."""
    file = settings.remedies_file
    changes = load_changes(file).fields() if file else {}
    return Policy(
        **changes,
        live=settings.live,
        settle=timedelta(seconds=settings.platform_settle),
        consent_window=settings.consent_window,
        hold_deadline=settings.hold_deadline,
        redirect_wait=settings.redirect_wait,
        redirect_hosts=settings.redirect_hosts,
        step_up=settings.step_up,
        loopback=httpx.URL(settings.platform_url).host in LOOPBACK,
    )


@dataclass
class Service:
    """The running parts. `tasks` are those that must not end before the service does."""

    settings: Settings
    store: Store
    platform: Platform
    limiter: LocalLimiter
    client: httpx.AsyncClient
    clock: Clock
    metrics: Metrics
    tasks: dict[str, asyncio.Task[None]]
    kafka: Cluster | None = None
    publisher: Publisher | None = None
    pulse: Pulse = field(default_factory=Pulse)
    connect: Callable[[], Awaitable[Any]] | None = None  # of a database that others use as well

    def parts(self, stop: asyncio.Event) -> dict[str, Coroutine[Any, Any, None]]:
        """Every part as a coroutine that ends after `stop`."""
        sinks = self._sinks()
        waking = Waking(tuple(sink.name for sink in sinks), self.connect)
        owner = secrets.token_hex(8)
        watch = Watch(self.metrics, self.clock)
        router = Router(
            *(self.store, self.platform, self.clock, self.settings.live),
            *(self.settings.max_fact_age, waking.news, waking.routed, watch.routed),
            adopt=self.settings.adopt,
            heard=self.pulse.heard,
            poll=waking.poll,
        )
        worker = Worker(
            *(self.store, self.platform, self.clock, policy(self.settings), waking.changes),
            *(waking.work, watch, owner, tuple(waking.told), waking.emitted.set),
            poll=waking.poll,
        )
        presence = Presence(self.store, self.clock, owner)
        deps = self._deps(waking, stop)
        parts = {
            "web": self._web(deps, stop),
            "router": presence.once_agreed(stop, router.run(stop)),
            "worker": presence.once_agreed(stop, worker.run(stop)),
            "gauges": self._gauges(stop),
            "catch-up": self._catch_up(waking.stored, watch).run(stop),
            "forgetter": self._forgetter(waking, watch).run(stop),
            "purger": self._purger(owner).run(stop),
        }
        for sink in sinks:
            seen = partial(watch.delivered, sink.name)
            told = waking.told[sink.name]
            relay = Relay(self.store, self.clock, sink, owner, told, seen, waking.poll)
            parts[f"relay-{sink.name}"] = relay.run(stop)
        if self.kafka:
            parts |= self._kafka(self.kafka, waking.stored, owner, stop)
        if waking.bell:
            parts["bell"] = waking.bell.run(stop)
            parts["presence"] = presence.run(stop)
        else:
            presence.agreed.set()  # there is no other process
        if isinstance(self.clock, SharedClock):
            parts["clock"] = keep_time(self.store, self.clock, stop)
        return parts

    def _sinks(self) -> list[Sink]:
        """Where outcomes go."""
        found: list[Sink] = []
        if url := self.settings.outcome_webhook_url:
            key = self.settings.outcome_webhook_key
            found.append(Endpoint(self.client, url, key, self.clock))
        if self.kafka and self.publisher:
            found.append(OutcomesTopic(self.publisher, self.kafka.outcomes))
        return found

    def _kafka(
        self, kafka: Cluster, stored: Signal, owner: str, stop: asyncio.Event
    ) -> dict[str, Coroutine[Any, Any, None]]:
        source = Source(
            *(kafka, self.store, self.clock, self.metrics, stored),
            limit=self.settings.kafka_inbox_limit,
        )
        assert self.publisher is not None
        letters = DeadLetters(
            *(self.store, self.clock, self.publisher, kafka.dead_letters, owner, Signal()),
        )
        return {"kafka": source.run(stop), "dead-letters": letters.run(stop)}

    def _deps(self, waking: Waking, stop: asyncio.Event) -> Deps:
        return Deps(
            store=self.store,
            platform=self.platform,
            clock=self.clock,
            tokens=self.settings.api_tokens,
            webhook=webhook_rules(self.settings),
            router_signal=waking.stored,
            changes=waking.changes,
            metrics=self.metrics,
            ailing=self._ailing,
            stopping=stop.is_set,
        )

    def _catch_up(self, stored: Signal, watch: Watch) -> CatchUp:
        backfill = Backfill(self.store, self.platform, self.clock)
        return CatchUp(
            *(self.store, backfill, self.clock, self.pulse, stored.set, watch.not_caught_up),
        )

    def _forgetter(self, waking: Waking, watch: Watch) -> Forgetter:
        return Forgetter(self.store, self.clock, waking.routed.set, watch.forgot)

    def _purger(self, owner: str) -> Purger:
        kept = self.settings
        return Purger(
            *(self.store, self.clock, owner),
            *(kept.keep_bodies, kept.keep_ids, kept.keep_purchases),
        )

    def _ailing(self) -> list[str]:
        return [name for name, task in self.tasks.items() if task.done()]

    async def _web(self, deps: Deps, stop: asyncio.Event) -> None:
        sock = listener(self.settings.host, self.settings.port)
        host, port = sock.getsockname()[:2]

        def ready() -> None:
            log.info("serving", url=f"http://{host}:{port}", version=version("order-rescue"))

        await serve_http(application(deps), sock, stop, ready)

    async def _gauges(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                found = await self.store.read(levels)
                none = {sink.name: 0 for sink in self._sinks()}
                self.metrics.levels(
                    inbox=found.inbox,
                    parked=found.parked,
                    writer=self.store.backlog(),
                    limiter=self.limiter.waiting,
                    undelivered=none | found.undelivered,
                    held=sum(n for (state, _), n in found.purchases.items() if state == "held"),
                )
                now = self.clock.now()
                self.metrics.unresolved(found.purchases, found.oldest, now)
                self.metrics.heard(self.pulse.last, found.caught_up, now)
            except StoreUnavailable:
                log.warning("the database can't be read now")
            try:
                async with asyncio.timeout(GAUGES_EVERY):
                    await stop.wait()
            except TimeoutError:
                continue


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then finish what is under way.

    Raises DatabaseInUse, SchemaUnknown, StoreUnavailable or KafkaUnusable when it can't start,
    and an ExceptionGroup when a part of it fails: then the process must end.
    """
    with _to_itself(settings.database_url):
        stop = asyncio.Event()
        async with _service(settings) as service:
            with _stopping_on_signals(stop):
                async with asyncio.TaskGroup() as group:
                    for name, part in service.parts(stop).items():
                        service.tasks[name] = group.create_task(part, name=name)
        log.info("stopped")


async def _kafka(settings: Settings) -> Cluster | None:
    """The cluster, if there is one. One that is away may come back; one that refuses us, or lacks
    a topic, needs a person. Raises KafkaUnusable."""
    if not settings.kafka:
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
async def _service(settings: Settings) -> AsyncIterator[Service]:
    kafka = await _kafka(settings)
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
    limiter = LocalLimiter(settings.platform_rate, clock)
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
        pulse = Pulse(await store.read(inbox.last_heard))
        publisher = Publisher(kafka) if kafka else None
        async with platform, client, AsyncExitStack() as stack:
            if publisher:
                stack.push_async_callback(publisher.close)
            yield Service(
                *(settings, store, platform, limiter, client, clock, metrics),
                *({}, kafka, publisher, pulse, connect),
            )
    finally:
        await store.close()


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
