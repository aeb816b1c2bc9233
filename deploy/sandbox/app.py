"""The application: the platform's paths to the edge, the others to control, browser and page."""

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from .control import Control
from .edge import Edge
from .provider import Provider
from .sender import Sender
from .world import World

OURS = ("/_sandbox/", "/_browser/", "/payments/")


def build(world: World, sender: Sender) -> tuple[ASGIApp, Edge]:
    """The edge stays outermost, since a cut answer needs the server's own connection."""
    edge = Edge(world)
    control = Starlette(routes=[*Control(world, sender).routes(), *Provider(world).routes()])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        inside = path == "/" or path.startswith(OURS)
        await (control if inside else edge)(scope, receive, send)

    return app, edge
