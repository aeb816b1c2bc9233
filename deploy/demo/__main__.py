"""`python -m deploy.demo`: shoppers through a sandbox that misbehaves, then the books."""

import sys
from pathlib import Path

from rich.console import Console

from .play import Options, play, run, stage_of


async def demo(options: Options, console: Console, folder: Path) -> bool:
    """The service as one process on SQLite."""
    return await play(options, console, stage_of(options, folder))


if __name__ == "__main__":
    sys.exit(run(demo, "python -m deploy.demo", __doc__))
