"""Wake-ups inside one process. They only shorten waits: all state is in the store."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

BUSY = 8  # webhooks at once


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


@dataclass
class Edge:
    """How many webhooks wait to be stored now. Whoever sent them waits three seconds at most."""

    waiting: int = 0

    def busy(self) -> bool:
        """Whether what can wait should."""
        return self.waiting >= BUSY


class Several(Signal):
    """One signal that sets several, or rings elsewhere."""

    def __init__(self, *actions: Callable[[], None]) -> None:
        super().__init__()
        self._actions = actions

    def set(self) -> None:
        for action in self._actions:
            action()


class Changes:
    """Tells API calls that wait (`Prefer: wait`) that a purchase was decided upon.

    `ring` tells those in other processes.
    """

    def __init__(self, ring: Callable[[str], None] = lambda _purchase_id: None) -> None:
        self._waiting: defaultdict[str, set[Signal]] = defaultdict(set)
        self._ring = ring

    def tell(self, purchase_id: str) -> None:
        """Wake all that wait for this purchase, wherever they are."""
        self.heard(purchase_id)
        self._ring(purchase_id)

    def heard(self, purchase_id: str) -> None:
        """Wake those in this process."""
        for signal in self._waiting.get(purchase_id, ()):
            signal.set()

    @contextmanager
    def listening(self, purchase_id: str) -> Iterator[Signal]:
        """A signal that every decision about the purchase sets from now on.

        Whoever listens before looking misses nothing that is stored after the look.
        """
        signal = Signal()
        self._waiting[purchase_id].add(signal)
        try:
            yield signal
        finally:
            self._waiting[purchase_id].discard(signal)
            if not self._waiting[purchase_id]:
                del self._waiting[purchase_id]
