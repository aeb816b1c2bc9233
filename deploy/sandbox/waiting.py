"""What a waiting order waits for: its primary source, and what the shopper does next."""

from .model import Json, Order, Source
from .world import World


def primary(world: World, order: Order) -> Source | None:
    found = (world.sources[source_id] for source_id in order.shares)
    return next((source for source in found if not source.credit), None)


def order_of(world: World, source: Source) -> Order | None:
    """The newest order that this source pays."""
    return next((one for one in reversed(world.orders.values()) if source.id in one.shares), None)


def redirect(world: World, source: Source) -> Json | None:
    """Row 3 of PLATFORM §4.1, or row 4: no URL."""
    if world.settings.redirect_url == "missing":
        return None
    return {"action": "redirect", "data": {"redirectUrl": url(world, source)}}


def url(world: World, source: Source) -> str:
    return f"{world.url}/payments/redirects/{source.id}?apiKey=pk_test_sandbox"


def instructions(world: World, source: Source) -> Json | None:
    """Row 5 of PLATFORM §4.1, or row 6: they are on the source alone."""
    if world.settings.instructions == "source":
        return None
    data = {"sourceId": source.id, "sourceClientSecret": source.secret}
    return {"action": "show_payment_instructions", "data": data}
