"""`python machine.py SECONDS`: the service on a machine whose clock is wrong.

The clock is shifted below our code, before any of it is imported: whoever asks for the time in
this process, by `time` or by `datetime`, gets the wrong one. Monotonic time is right, as it is on
a real machine.
"""

import ctypes
import datetime
import gc
import sys
import time
from collections.abc import Callable
from typing import Any


def shift(seconds: float) -> None:
    """Set the clock of this process."""
    right, moment = time.time, datetime.datetime

    def now(kind: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> Any:
        return kind.fromtimestamp(right() + seconds, tz)

    time.time = lambda: right() + seconds
    time.time_ns = lambda: int((right() + seconds) * 1e9)
    _replace(moment, "now", classmethod(now))
    _replace(moment, "utcnow", classmethod(lambda kind: now(kind, datetime.UTC)))


def _replace(kind: type, name: str, method: Any) -> None:
    """The attributes of C's types can't be set; the dictionary behind them can."""
    attributes: dict[str, Any] = gc.get_referents(kind.__dict__)[0]
    attributes[name] = method
    modified: Callable[[Any], None] = ctypes.pythonapi.PyType_Modified
    modified(ctypes.py_object(kind))


if __name__ == "__main__":
    shift(float(sys.argv[1]))

    from consumer.cli import main

    sys.exit(main(["serve"]))
