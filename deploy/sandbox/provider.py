"""The payment provider's page: approve, decline or leave (PLATFORM §5.6, §7.1)."""

from dataclasses import dataclass
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from . import sources
from .model import Source
from .world import World


@dataclass(slots=True)
class Provider:
    world: World

    def routes(self) -> list[Route]:
        path = "/payments/redirects/{id}"
        return [
            Route(path, self.show, methods=["GET"]),
            Route(path + "/{choice}", self.choose, methods=["POST"]),
        ]

    def _source(self, request: Request) -> Source | None:
        return self.world.sources.get(request.path_params["id"])

    async def show(self, request: Request) -> Response:
        source = self._source(request)
        if source is None:
            return HTMLResponse("No such payment.", 404)
        forms = "".join(
            f'<form method="post" action="/payments/redirects/{escape(source.id)}/{choice}">'
            f"<button>{choice}</button></form>"
            for choice in ("approve", "decline")
        )
        return HTMLResponse(
            '<!doctype html><html lang="en"><title>Payment provider</title>'
            f"<p>{float(source.amount)} {escape(source.currency or '')}</p>{forms}</html>"
        )

    async def choose(self, request: Request) -> Response:
        """Approve makes the source chargeable; decline leaves it waiting (PLATFORM §7.1)."""
        source = self._source(request)
        choice = request.path_params["choice"]
        if source is None or choice not in ("approve", "decline"):
            return HTMLResponse("No such payment.", 404)
        if choice == "approve" and source.state == "pending_redirect":
            failing = source.last_name in ("SourceFailAfterRedirect", "authFailAfterRedirect")
            source.state = "failed" if failing else "chargeable"
            if not failing:
                self.world.emit("source.chargeable", source.live, sources.view(source))
        name = "returnUrl" if choice == "approve" else "cancelUrl"
        url = (source.details.get("redirect") or {}).get(name)
        return RedirectResponse(url, 303) if url else HTMLResponse(f"{choice}d")
