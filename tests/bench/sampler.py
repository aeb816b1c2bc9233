"""`--profile "python -m tests.bench.sampler"`: what the service spends its processor time on.

Runs the program that is named behind it. For every few milliseconds of processor time that it
uses, of whichever thread, it looks where the event loop's thread is; waiting weighs nothing. At
the end it prints into the service's log in which functions that was, and under which of our own.
"""

import runpy
import signal
import sys
import time
from collections import Counter
from types import FrameType

EVERY = 0.004  # seconds of processor time
OURS = ("consumer", "handlers", "schemas")
SHOWN = 25


def places(frame: FrameType | None) -> list[str]:
    """The functions on a stack, the innermost first."""
    found = []
    while frame is not None:
        found.append(f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return found


def main() -> None:
    """Run `sys.argv[1:]` under the sampler."""
    own: Counter[str] = Counter()
    under: Counter[str] = Counter()

    def look(_number: int, frame: FrameType | None) -> None:
        stack = places(frame)
        if any(place.startswith("importlib.") for place in stack):
            return  # the start
        own.update(stack[:1])
        under.update({place for place in stack if place.startswith(OURS)})

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        total = sum(own.values())
        print(f"PROFILE {total} looks in {time.process_time():.1f} s")
        for title, found in (("in", own), ("under", under)):
            for place, count in found.most_common(SHOWN):
                print(f"PROFILE {title} {count / total:6.1%} {place}", flush=True)


if __name__ == "__main__":
    main()
