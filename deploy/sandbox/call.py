"""One request to the platform, as the calls of the catalogue see it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import checkouts, customers, orders
from .fields import parse
from .lists import Query
from .model import Checkout, Customer, Json, Order
from .world import World


@dataclass(slots=True)
class Call:
    """One request, authenticated: `live` is the key's mode. `path` holds the ids in the path."""

    world: World
    live: bool
    raw: bytes
    query: Query
    path: dict[str, str] = field(default_factory=dict)

    def body(self) -> Json:
        return parse(self.raw)

    def checkout(self) -> Checkout:
        """The checkout that the path names. Raises Refusal."""
        return checkouts.find(self.world, self.live, self.path["id"])

    def order(self) -> Order:
        """The order that the path names. Raises Refusal."""
        return orders.find(self.world, self.live, self.path["id"])

    def customer(self) -> Customer:
        """The customer that the path names. Raises Refusal."""
        return customers.find(self.world, self.live, self.path["id"])


Answer = tuple[int, Any]  # status and JSON; None is an empty body
Handler = Callable[[Call], Answer]
