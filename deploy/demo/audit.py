"""Reads the service's own books, as an operator may."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

Json = dict[str, Any]
PAGE = 100
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Auditor:
    """An operator's token and where the service listens."""

    http: httpx.AsyncClient
    url: str
    token: str

    async def purchases(self) -> list[Json]:
        """Every purchase, newest first."""
        found: list[Json] = []
        query: dict[str, str | int] = {"limit": PAGE}
        while True:
            page = await self._get("/v1/purchases", query)
            found += page["data"]
            if not page["hasMore"]:
                return found
            query["startingAfter"] = found[-1]["id"]

    async def timeline(self, purchase_id: str) -> list[Json]:
        """All that the service stored about one purchase."""
        shown: list[Json] = (await self._get(f"/v1/purchases/{purchase_id}/timeline", {}))["data"]
        return shown

    async def timelines(self, purchases: list[Json]) -> dict[str, list[Json]]:
        """By purchase id."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(purchase_id: str) -> tuple[str, list[Json]]:
            async with slots:
                return purchase_id, await self.timeline(purchase_id)

        return dict(await asyncio.gather(*(one(purchase["id"]) for purchase in purchases)))

    async def _get(self, path: str, query: dict[str, str | int]) -> Json:
        headers = {"authorization": f"Bearer {self.token}"}
        answer = await self.http.get(self.url + path, params=query, headers=headers)
        shown: Json = answer.raise_for_status().json()
        return shown
