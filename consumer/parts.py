"""The parts of a process: which it has by its roles, and how they are put together."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from importlib.metadata import version
from typing import Any

import httpx
import structlog

from consumer.backfill import Backfill
from consumer.catch_up import CatchUp, Pulse
from consumer.clock import Clock, SharedClock
from consumer.forgetter import Forgetter
from consumer.kafka import publisher as kafka_sink
from consumer.kafka.cluster import Cluster
from consumer.kafka.letters import DeadLetters
from consumer.kafka.publisher import OutcomesTopic, Publisher
from consumer.kafka.source import Source
from consumer.observe import Metrics
from consumer.platform import LocalLimiter, Platform
from consumer.presence import Presence
from consumer.purger import Purger
from consumer.relay import SINK, Endpoint, Relay, Sink
from consumer.roles import ALL, Role
from consumer.router import Router
from consumer.settings import Settings
from consumer.settings.remedies import load_changes
from consumer.sharing import Sharing
from consumer.signals import Edge, Signal
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.levels import levels
from consumer.store.timekeeping import keep_time
from consumer.waking import Waking
from consumer.watch import Watch
from consumer.web.app import application, watched
from consumer.web.deps import Deps, webhook_rules
from consumer.web.server import listener
from consumer.web.server import serve as serve_http
from consumer.worker import Worker
from handlers.policy import Policy
from handlers.redirects import LOOPBACK

GAUGES_EVERY = 5.0  # seconds
log = structlog.get_logger("order_rescue")
Parts = dict[str, Coroutine[Any, Any, None]]


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


def sink_names(settings: Settings) -> tuple[str, ...]:
    """Where outcomes go, whichever process sends them: the worker plans for every sink."""
    named = {SINK: settings.outcome_webhook_url, kafka_sink.SINK: settings.kafka}
    return tuple(name for name, wanted in named.items() if wanted)


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
    roles: frozenset[Role] = ALL
    kafka: Cluster | None = None
    publisher: Publisher | None = None
    pulse: Pulse = field(default_factory=Pulse)
    connect: Callable[[], Awaitable[Any]] | None = None  # of a database that others use as well
    sharing: Sharing | None = None  # of the rate, with them
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    owner: str = field(default_factory=lambda: secrets.token_hex(8))
    edge: Edge = field(default_factory=Edge)

    @cached_property
    def waking(self) -> Waking:
        """Who wakes whom."""
        return Waking(sink_names(self.settings), self.connect)

    @cached_property
    def watch(self) -> Watch:
        """Who is told."""
        return Watch(self.metrics, self.clock)

    @cached_property
    def presence(self) -> Presence:
        """This process among the others."""
        return Presence(self.store, self.clock, self.owner)

    def parts(self, stop: asyncio.Event) -> Parts:
        """Every part of these roles as a coroutine that ends after `stop`."""
        parts = self._always(stop)
        if Role.KAFKA in self.roles:
            parts |= self._source(stop)
        if Role.WORKER in self.roles:
            parts |= self._work(stop)
        if Role.RELAY in self.roles:
            parts |= self._relays(stop)
        return parts

    def _always(self, stop: asyncio.Event) -> Parts:
        """What every process has; the web server has the HTTP edge with the role webhooks."""
        web = self._web(self._deps(stop), stop)
        parts = {"web": self.presence.once_known(stop, web), "gauges": self._gauges(stop)}
        if self.waking.bell:
            parts["bell"] = self.waking.bell.run(stop)
            parts["presence"] = self.presence.run(stop)
        else:
            self.presence.alone()
        if isinstance(self.clock, SharedClock):
            parts["clock"] = keep_time(self.store, self.clock, stop)
        return parts

    def _work(self, stop: asyncio.Event) -> Parts:
        return {
            "router": self.presence.once_agreed(stop, self._router().run(stop)),
            "worker": self.presence.once_agreed(stop, self._worker().run(stop)),
            "catch-up": self._catch_up().run(stop),
            "forgetter": self.presence.once_agreed(stop, self._forgetter().run(stop)),
            "purger": self.presence.once_agreed(stop, self._purger().run(stop)),
        }

    def _router(self) -> Router:
        settings, waking = self.settings, self.waking
        return Router(
            *(self.store, self.platform, self.clock, settings.live, settings.max_fact_age),
            *(waking.news, waking.routed, self.watch.routed),
            adopt=settings.adopt,
            heard=self.pulse.heard,
            poll=waking.poll,
            busy=self.edge.busy,
        )

    def _worker(self) -> Worker:
        waking = self.waking
        return Worker(
            *(self.store, self.platform, self.clock, policy(self.settings), waking.changes),
            *(waking.work, self.watch, self.owner, tuple(waking.told), waking.emitted.set),
            poll=waking.poll,
        )

    def _catch_up(self) -> CatchUp:
        backfill = Backfill(self.store, self.platform, self.clock)
        return CatchUp(
            *(self.store, backfill, self.clock, self.pulse, self.waking.arrived.set),
            self.watch.not_caught_up,
        )

    def _forgetter(self) -> Forgetter:
        return Forgetter(self.store, self.clock, self.waking.routed.set, self.watch.forgot)

    def _purger(self) -> Purger:
        kept = self.settings
        return Purger(
            *(self.store, self.clock, self.owner),
            *(kept.keep_bodies, kept.keep_ids, kept.keep_purchases),
        )

    def _source(self, stop: asyncio.Event) -> Parts:
        if not self.kafka:
            return {}
        source = Source(
            *(self.kafka, self.store, self.clock, self.metrics, self.waking.arrived),
            limit=self.settings.kafka_inbox_limit,
        )
        return {"kafka": source.run(stop)}

    def _relays(self, stop: asyncio.Event) -> Parts:
        parts = {f"relay-{sink.name}": self._relay(sink).run(stop) for sink in self._sinks()}
        if self.kafka and self.publisher:
            letters = DeadLetters(
                *(self.store, self.clock, self.publisher, self.kafka.dead_letters, self.owner),
                Signal(),
            )
            parts["dead-letters"] = letters.run(stop)
        return parts

    def _relay(self, sink: Sink) -> Relay:
        seen, told = partial(self.watch.delivered, sink.name), self.waking.told[sink.name]
        return Relay(self.store, self.clock, sink, self.owner, told, seen, self.waking.poll)

    def _sinks(self) -> list[Sink]:
        found: list[Sink] = []
        if url := self.settings.outcome_webhook_url:
            key = self.settings.outcome_webhook_key
            found.append(Endpoint(self.client, url, key, self.clock))
        if self.kafka and self.publisher:
            found.append(OutcomesTopic(self.publisher, self.kafka.outcomes))
        return found

    def _deps(self, stop: asyncio.Event) -> Deps:
        return Deps(
            store=self.store,
            platform=self.platform,
            clock=self.clock,
            tokens=self.settings.api_tokens,
            webhook=webhook_rules(self.settings),
            stored=self.waking.stored,
            arrived=self.waking.arrived,
            edge=self.edge,
            changes=self.waking.changes,
            metrics=self.metrics,
            ailing=self._ailing,
            stopping=stop.is_set,
        )

    def _ailing(self) -> list[str]:
        return [name for name, task in self.tasks.items() if task.done()]

    async def _web(self, deps: Deps, stop: asyncio.Event) -> None:
        sock = listener(self.settings.host, self.settings.port)
        host, port = sock.getsockname()[:2]

        def ready() -> None:
            log.info("serving", url=f"http://{host}:{port}", version=version("order-rescue"))

        app = application(deps) if Role.WEBHOOKS in self.roles else watched(deps)
        await serve_http(app, sock, stop, ready)

    async def _gauges(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._measure()
            except StoreUnavailable:
                log.warning("the database can't be read now")
            try:
                async with asyncio.timeout(GAUGES_EVERY):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _measure(self) -> None:
        found, now = await self.store.read(levels), self.clock.now()
        self.metrics.levels(
            inbox=found.inbox,
            parked=found.parked,
            writer=self.store.backlog(),
            limiter=self.limiter.waiting,
            share=self.limiter.share,
            undelivered=dict.fromkeys(sink_names(self.settings), 0) | found.undelivered,
            held=sum(n for (state, _), n in found.purchases.items() if state == "held"),
        )
        self.metrics.unresolved(found.purchases, found.oldest, now)
        if Role.WORKER in self.roles:  # the router hears the events, whichever edge took them
            self.metrics.heard(self.pulse.last, found.caught_up, now)
