"""What the platform is made to do wrong, through the sandbox's control calls."""

from dataclasses import dataclass
from typing import Any

import httpx

LIST_LAG = 1.0  # seconds until a new order is listed
LATE = 2.0  # seconds until a request that was answered with 504 is processed after all

# For everybody, all the time. Submissions get their trouble by script, each its own kind.
WEATHER: dict[str, Any] = {
    "rates": {
        "webhook_doubled": 0.15,
        "webhook_delayed": {"rate": 0.1, "seconds": [0.2, 3.0]},
        "webhook_reordered": 0.2,
        "webhook_lost": 0.03,
        "list_lag": {"seconds": LIST_LAG},
        "latency": {"rate": 0.1, "seconds": [0.01, 0.15]},
        "before_commit": 0.01,
        "cut": 0.01,
    },
    "paths": "/checkouts(/.*)?|/customers/.*",
}
# A service that is down for seconds must not lose its webhooks for good; how many failures the
# platform bears is documented nowhere (PLATFORM §6.4).
SETTINGS = {"disable_after": 1_000_000}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Scripts faults for single shoppers."""

    http: httpx.AsyncClient
    url: str

    async def begin(self) -> None:
        """The weather for all."""
        await self._post("/_sandbox/settings", SETTINGS)
        await self._post("/_sandbox/faults", WEATHER)

    async def with_submission(self, upstream_id: str, times: int, **action: Any) -> None:
        """The next `times` submissions of this shopper meet this fault."""
        match = {"method": "POST", "path": "/orders", "upstreamId": upstream_id}
        await self._script(match, action, times)

    async def with_anything(self, upstream_id: str, times: int, **action: Any) -> None:
        """The next `times` calls about this shopper, whatever they are, meet this fault."""
        await self._script({"upstreamId": upstream_id}, action, times)

    async def settle(self, order_id: str, state: str, **more: Any) -> None:
        """The platform ends a wait, a review or an order."""
        await self._post(f"/_sandbox/orders/{order_id}/settle", {"state": state, **more})

    async def with_order(self, order_id: str, kind: str) -> None:
        """Something goes wrong with an order, after it was accepted."""
        await self._post(f"/_sandbox/orders/{order_id}/trouble", {"kind": kind})

    async def transfer(self, source_id: str, what: str) -> None:
        """A transfer arrives (`pay`) or its deadline passes (`expire`); once is enough."""
        await self._post(f"/_sandbox/sources/{source_id}/{what}", {}, also=409)

    async def settings(self, **wanted: Any) -> None:
        """Chooses what the platform's documents leave open."""
        await self._post("/_sandbox/settings", wanted)

    async def ledger(self) -> dict[str, Any]:
        """What really happened at the platform."""
        answer = await self.http.get(f"{self.url}/_sandbox/ledger")
        shown: dict[str, Any] = answer.raise_for_status().json()
        return shown

    async def _script(self, match: dict[str, str], action: dict[str, Any], times: int) -> None:
        script = {"match": match, "action": action, "times": times}
        await self._post("/_sandbox/faults", {"scripts": [script]})

    async def _post(self, path: str, body: dict[str, Any], also: int = 200) -> None:
        answer = await self.http.post(self.url + path, json=body)
        if answer.status_code != also:
            answer.raise_for_status()
