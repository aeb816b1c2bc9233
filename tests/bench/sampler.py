"""`--profile "python -m tests.bench.sampler"`: where the service's threads are, 200 times a second.

Runs the program that is named behind it and prints into its log, at its end, in which functions
the samples were, and under which of our own.
"""

import runpy
import sys
import threading
import time
from collections import Counter
from types import FrameType

EVERY = 0.005  # seconds
OURS = ("consumer", "handlers", "schemas")
SHOWN = 25


def _place(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__", "?")
    return f"{module}.{frame.f_code.co_qualname}"


def _stack(frame: FrameType | None) -> list[str]:
    places = []
    while frame is not None:
        places.append(_place(frame))
        frame = frame.f_back
    return places


def sample(own: Counter[str], under: Counter[str], ended: threading.Event) -> None:
    """Look until it has ended. Idle threads are counted like any other, as `asyncio` or `queue`."""
    me = threading.get_ident()
    while not ended.wait(EVERY):
        for thread, frame in sys._current_frames().items():
            if thread == me:
                continue
            places = _stack(frame)
            own[places[0]] += 1
            under.update({place for place in places if place.startswith(OURS)})


def main() -> None:
    """Run `sys.argv[1:]` under the sampler."""
    own: Counter[str] = Counter()
    under: Counter[str] = Counter()
    ended = threading.Event()
    began = time.monotonic()
    threading.Thread(target=sample, args=(own, under, ended), daemon=True).start()
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        ended.set()
        total = sum(own.values())
        for title, found in (("in", own), ("under", under)):
            print(f"PROFILE {title}, {total} samples in {time.monotonic() - began:.1f} s")
            for place, count in found.most_common(SHOWN):
                print(f"PROFILE {count / total:6.1%} {place}", flush=True)


if __name__ == "__main__":
    main()
