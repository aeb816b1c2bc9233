"""`POST /webhooks/digital-river`: prove, read lightly, store, and only then acknowledge."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import Response

from consumer.events import light
from consumer.observe import tracing
from consumer.signature import (
    SignatureInvalid,
    address_allowed,
    basic_credentials_match,
    verify,
)
from consumer.store.engine import StoreUnavailable
from consumer.store.inbox import Delivery
from consumer.web.bodies import read, require_json
from consumer.web.collector import PATIENCE, Collector
from consumer.web.deps import Deps, WebhookRules
from consumer.web.problems import Problem, not_genuine, unavailable
from schemas.facts import Origin

PATH = "/webhooks/digital-river"
MOST_WAITING = 512  # deliveries at once; at a few thousand a second these wait some 200 ms
MOST_ARRIVING = 2048  # bodies on their way; who sends slowly must not take the others' places
MOST_BYTES = 32 * 1024 * 1024  # of the bodies among them

log = structlog.get_logger("order_rescue.web")


@dataclass
class Ingress:
    """The webhook endpoint.

    `held` are the bytes that wait to be stored now (`deps.edge` counts the deliveries), `arriving`
    the deliveries whose bodies are on their way: nobody has proven anything there yet.
    """

    deps: Deps
    rules: WebhookRules
    collector: Collector
    held: int = 0
    arriving: int = 0

    async def receive(self, request: Request) -> Response:
        """Answer one delivery: 202 once it is durable, for duplicates and unknown types too."""
        body = await self._body(request)
        edge = self.deps.edge
        if edge.waiting >= MOST_WAITING or self.held >= MOST_BYTES:
            raise self._shed(request)
        edge.waiting += 1
        self.held += len(body)
        try:
            return await self._store(request, body)
        finally:
            edge.waiting -= 1
            self.held -= len(body)

    async def _body(self, request: Request) -> bytes:
        """The body of who may send one. The platform gives up after 3 s (PLATFORM §6.3), so a
        body that takes longer serves nobody."""
        if self.arriving >= MOST_ARRIVING:
            raise self._shed(request)
        self.arriving += 1
        try:
            self._check_sender(request)
            require_json(request)
            return await read(request, PATIENCE)
        finally:
            self.arriving -= 1

    async def _store(self, request: Request, body: bytes) -> Response:
        self._check_signature(request, body)
        event = light(body)
        delivery = Delivery(
            *(Origin.PLATFORM, event.id, event.type, "webhook", body, event.about),
            trace=tracing.received(request.headers),
        )
        try:
            new = await self.collector.add(delivery)
        except TimeoutError:
            raise self._shed(request) from None
        except StoreUnavailable:
            request.state.result = "unavailable"
            raise unavailable("the event can't be stored now") from None
        self.deps.arrived.set()
        request.state.result = "stored" if new else "duplicate"
        return Response(status_code=202)

    def _check_sender(self, request: Request) -> None:
        rules = self.rules
        peer = request.client.host if request.client else None
        forwarded = request.headers.getlist("x-forwarded-for")
        if rules.allow is not None and not address_allowed(
            peer, forwarded, rules.allow, rules.trusted
        ):
            raise self._refusal(request, "address")
        if rules.basic is not None:
            given = request.headers.getlist("authorization")
            header = given[0] if len(given) == 1 else None
            if not basic_credentials_match(header, rules.basic):
                raise self._refusal(request, "credentials")

    def _check_signature(self, request: Request, body: bytes) -> None:
        headers = request.headers.getlist("digitalriver-signature")
        if len(headers) > 1:
            raise self._refusal(request, "signature", "several headers")
        header = headers[0] if headers else None
        rules = self.rules
        try:
            found = verify(header, body, rules.secrets, self.deps.clock.now(), rules.tolerance)
        except SignatureInvalid as error:
            raise self._refusal(request, "signature", error.reason) from None
        if found.freshness_unchecked:
            log.warning("webhook_timestamp_unreadable")
            self.deps.metrics.alert("webhook_timestamp_unreadable")

    def _refusal(self, request: Request, result: str, why: str = "not allowed") -> Problem:
        request.state.result = result
        log.info("webhook_refused", reason=result, why=why)
        return not_genuine()

    def _shed(self, request: Request) -> Problem:
        request.state.result = "shed"
        return unavailable("too many events at once", retry_after=2)
