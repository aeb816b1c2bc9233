"""The payment provider's page: approve, decline or leave (PLATFORM §5.6, §7.1)."""

from dataclasses import dataclass
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from . import payments
from .errors import Refusal
from .model import Source
from .world import World


@dataclass(slots=True)
class Provider:
    """A script posts to `…/approve`, `…/decline` or `…/abandon`, as the page's buttons do."""

    world: World

    def routes(self) -> list[Route]:
        path = "/payments/redirects/{id}"
        return [
            Route(path, self.show, methods=["GET"]),
            Route(path + "/{choice}", self.choose, methods=["POST"]),
        ]

    def _source(self, request: Request) -> Source | None:
        source = self.world.sources.get(request.path_params["id"])
        return source if source is not None and source.flow == "redirect" else None

    async def show(self, request: Request) -> Response:
        """As often as the shopper likes, while the payment is open."""
        source = self._source(request)
        if source is None:
            return HTMLResponse("No such payment.", 404)
        if source.state != "pending_redirect":
            return HTMLResponse(_page("<p>This payment is over.</p>"))
        forms = "".join(
            f'<form method="post" action="/payments/redirects/{escape(source.id)}/{choice}">'
            f"<button>{choice}</button></form>"
            for choice in payments.CHOICES
        )
        amount = f"{float(source.amount)} {escape(source.currency or '')}"
        return HTMLResponse(_page(f"<p>{amount}</p>{forms}"))

    async def choose(self, request: Request) -> Response:
        """Goes back to the shop if it gave a URL; 409 if the payment is over."""
        source = self._source(request)
        choice = request.path_params["choice"]
        if source is None or choice not in payments.CHOICES:
            return HTMLResponse("No such payment.", 404)
        try:
            payments.choose(self.world, source, choice)
        except Refusal as refusal:
            return HTMLResponse(_page("<p>This payment is over.</p>"), refusal.status)
        url = source.return_url if choice == "approve" else source.cancel_url
        if url and choice != "abandon":
            return RedirectResponse(url, 303)
        return HTMLResponse(_page(f"<p>{source.state}</p>"))


def _page(body: str) -> str:
    return f'<!doctype html><html lang="en"><title>Payment provider</title>{body}</html>'
