"""Control calls for tests and demos, and the browser's: JSON over loopback, without a key."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from . import accounts, browser, payments, sources, triggers, webhooks
from .errors import Refusal, missing, not_found
from .fields import parse
from .model import Json
from .page import page
from .sender import Sender
from .world import World, encoded

Endpoint = Callable[[Request], Awaitable[Response]]
TRIGGERS: tuple[tuple[str, Callable[[World, str, Json], triggers.Answer]], ...] = (
    ("/_sandbox/orders/{id}/settle", triggers.settle),
    ("/_sandbox/orders/{id}/trouble", triggers.trouble),
    ("/_sandbox/sources/{id}", triggers.source),
    ("/_sandbox/sources/{id}/pay", triggers.pay),
    ("/_sandbox/sources/{id}/expire", triggers.expire),
    ("/_sandbox/customers/{id}", triggers.customer),
    ("/_sandbox/checkouts/{id}/session", triggers.session),
    ("/_sandbox/checkout-sessions", triggers.own_checkout),
)


@dataclass(slots=True)
class Control:
    world: World
    sender: Sender

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Callable[[Request, Json], tuple[int, Any]]]] = [
            ("GET", "/_sandbox/ledger", self.ledger),
            ("GET", "/_sandbox/faults", self.faults),
            ("POST", "/_sandbox/faults", self.change_faults),
            ("DELETE", "/_sandbox/faults", self.clear_faults),
            ("GET", "/_sandbox/settings", self.settings),
            ("POST", "/_sandbox/settings", self.change_settings),
            ("POST", "/_sandbox/events", self.emit),
            ("POST", "/_sandbox/events/{id}/redeliver", self.redeliver),
            ("GET", "/_sandbox/webhooks", self.webhooks),
            ("POST", "/_sandbox/webhooks/{id}", self.webhook),
            ("POST", "/_sandbox/reset", self.reset),
            ("POST", "/_browser/sources", self.create_source),
            ("POST", "/_browser/authenticate", self.authenticate),
            ("GET", "/_browser/instructions/{id}", self.instructions),
            *(("POST", path, self._trigger(call)) for path, call in TRIGGERS),
        ]
        found = [Route(path, self._json(call), methods=[method]) for method, path, call in table]
        flush = Route("/_sandbox/webhooks/flush", self.flush, methods=["POST"])
        return [flush, *found, Route("/", self.index, methods=["GET"])]

    def _json(self, call: Callable[[Request, Json], tuple[int, Any]]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                status, shown = call(request, parse(await request.body()))
            except Refusal as refusal:
                status, shown = refusal.status, refusal.body
            return Response(encoded(shown), status, media_type="application/json")

        return endpoint

    def _trigger(
        self, call: Callable[[World, str, Json], triggers.Answer]
    ) -> Callable[[Request, Json], tuple[int, Any]]:
        return lambda request, body: call(self.world, request.path_params.get("id", ""), body)

    def ledger_view(self) -> Json:
        return self.world.ledger.view(
            [accounts.entry(self.world, order) for order in self.world.orders.values()]
        )

    def ledger(self, request: Request, body: Json) -> tuple[int, Any]:
        return 200, self.ledger_view()

    async def index(self, request: Request) -> Response:
        return HTMLResponse(page(self.ledger_view(), self._hooks()))

    def faults(self, request: Request, body: Json) -> tuple[int, Any]:
        return 200, self.world.faults.view()

    def change_faults(self, request: Request, body: Json) -> tuple[int, Any]:
        self.world.faults.change(body)
        return 200, self.world.faults.view()

    def clear_faults(self, request: Request, body: Json) -> tuple[int, Any]:
        self.world.faults.clear()
        return 200, self.world.faults.view()

    def settings(self, request: Request, body: Json) -> tuple[int, Any]:
        return 200, self.world.settings.view()

    def change_settings(self, request: Request, body: Json) -> tuple[int, Any]:
        self.world.settings.change(body)
        return 200, self.world.settings.view()

    def emit(self, request: Request, body: Json) -> tuple[int, Any]:
        """Any event: `{"type": "order.dispute", "object": {…}, "liveMode": false}`."""
        if "type" not in body or "object" not in body:
            raise missing("type" if "type" not in body else "object")
        live = bool(body.get("liveMode"))
        return 201, self.world.emit(str(body["type"]), live, body["object"]).body

    def redeliver(self, request: Request, body: Json) -> tuple[int, Any]:
        event = self.world.events.get(request.path_params["id"])
        if event is None:
            raise not_found("id", "No such event.")
        hooks = [
            hook
            for hook in self.world.webhooks.values()
            if hook.enabled and hook.live == event.live and hook.wants(event.type)
        ]
        for hook in hooks:
            self.sender.send(hook, event)
        return 202, {"deliveries": len(hooks)}

    def webhooks(self, request: Request, body: Json) -> tuple[int, Any]:
        return 200, self._hooks()

    def _hooks(self) -> list[Json]:
        return [webhooks.view(hook) for hook in self.world.webhooks.values()]

    def webhook(self, request: Request, body: Json) -> tuple[int, Any]:
        """Sets what no call of the platform can: `{"secrets": ["new", "old"]}`."""
        hook = self.world.webhooks.get(request.path_params["id"])
        if hook is None:
            raise not_found("id", "No such webhook.")
        secrets = body.pop("secrets", None)
        if secrets:
            hook.secrets = [str(one) for one in secrets]
        return 200, webhooks.view(webhooks.update(self.world, hook, body))

    async def flush(self, request: Request) -> Response:
        attempted = await self.sender.flush()
        return Response(encoded({"attempted": attempted}), media_type="application/json")

    def reset(self, request: Request, body: Json) -> tuple[int, Any]:
        self.sender.forget()
        self.world.forget_everything()
        return 200, {}

    def create_source(self, request: Request, body: Json) -> tuple[int, Any]:
        return 201, sources.view(browser.create_source(self.world, body))

    def authenticate(self, request: Request, body: Json) -> tuple[int, Any]:
        return 200, browser.authenticate(self.world, body)

    def instructions(self, request: Request, body: Json) -> tuple[int, Any]:
        secret = request.query_params.get("clientSecret")
        return 200, payments.instructions(self.world, request.path_params["id"], secret)
