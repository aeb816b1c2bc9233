"""Who wakes whom: between the parts of one process, and between processes on one database."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from consumer.signals import Changes, Several, Signal
from consumer.store.bell import Bell

QUICK = 0.5  # seconds between looks at the store where nobody rings
SLOW = 3.0  # where somebody does: for what a bell does not tell, such as the end of a lease


class Waking:
    """`news` wakes the router, `work` the worker, `told` the relay of each sink.

    `arrived` (events that have no purchase yet), `stored`, `routed` and `emitted` are set by those
    who cause that, and wake all processes.
    """

    def __init__(
        self, sinks: Sequence[str] = (), connect: Callable[[], Awaitable[Any]] | None = None
    ) -> None:
        self.news, self.work = Signal(), Signal()
        self.told = {sink: Signal() for sink in sinks}
        self.bell = Bell(connect, self._heard, self._missed) if connect else None
        ring = self.bell.ring if self.bell else _nobody
        self.arrived = Several(self.news.set, partial(ring, "arrived"))
        self.stored = Several(self.news.set, self.work.set, partial(ring, "news"))
        self.routed = Several(self.work.set, partial(ring, "work"))
        self.emitted = Several(self._tell, partial(ring, "told"))
        self.changes = Changes(ring)

    def poll(self) -> float:
        """Seconds until the next look at the store, if nothing is heard."""
        return SLOW if self.bell and self.bell.listening else QUICK

    def _heard(self, word: str) -> None:
        match word:
            case "news":
                self.news.set()
                self.work.set()
            case "arrived":
                self.news.set()
            case "work":
                self.work.set()
            case "told":
                self._tell()
            case purchase_id:
                self.changes.heard(purchase_id)

    def _missed(self) -> None:
        for signal in (self.news, self.work, *self.told.values()):
            signal.set()

    def _tell(self) -> None:
        for signal in self.told.values():
            signal.set()


def _nobody(_word: str) -> None:
    """There is no other process."""
