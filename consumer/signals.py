"""Wake-ups inside one process. They only shorten waits: all state is in the store."""

import asyncio
from collections import defaultdict


class Signal:
    """Something happened; whoever waits looks at the store again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the waiter."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Return when set, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


class Changes:
    """Tells API calls that wait (`Prefer: wait`) that a purchase was decided upon."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def tell(self, purchase_id: str) -> None:
        """Wake all that wait for this purchase."""
        for event in self._waiting.get(purchase_id, ()):
            event.set()

    async def wait(self, purchase_id: str, seconds: float) -> None:
        """Return at the purchase's next decision, or after so many seconds."""
        event = asyncio.Event()
        self._waiting[purchase_id].add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting[purchase_id].discard(event)
            if not self._waiting[purchase_id]:
                del self._waiting[purchase_id]
