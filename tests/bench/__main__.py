"""`python -m tests.bench`: measure, print the table, write it down. See docs/operations.md."""

import argparse
import asyncio
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from deploy.demo.processes import ROOT
from tests.bench.registry import ROWS, Measured
from tests.bench.report import Row, exit_code, show, write_json
from tests.bench.stage import Bench, Options
from tests.bench.wrk import Broken

FOLDER = ROOT / "build" / "bench"
BUSY = 0.5  # processes that want to run


def options_of(arguments: Sequence[str] | None = None) -> tuple[Options, list[str], Path]:
    """What to measure, which rows, and where the report goes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="the figures are medians of so many (3)")
    add("--seconds", type=float, default=8.0, help="of load for one measurement (8)")
    add("--only", default="", metavar="ROW,...", help=f"of {', '.join(ROWS)}")
    add("--stored", type=int, default=1_000_000, help="purchases in the full store, 5 facts each")
    add("--burst", type=int, default=200_000, help="events of the burst")
    add("--quick", action="store_true", help="one short round on a small store: does it run?")
    add("--profile", default="", help="words that the service runs under, such as a profiler")
    add("--keep", action="store_true", help="keep the folder with the logs")
    add("--folder", type=Path, default=FOLDER, help="for report.json and the charts")
    found = parser.parse_args(arguments)
    names = [name for name in found.only.split(",") if name] or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    quick = {"rounds": 1, "seconds": min(found.seconds, 3.0), "stored": 20_000, "burst": 20_000}
    named: dict[str, Any] = {n: getattr(found, n) for n in quick} | (quick if found.quick else {})
    return Options(**named, profile=found.profile, keep=found.keep), names, found.folder.resolve()


async def measured(name: str, row: Measured, bench: Bench) -> Row:
    """The row with its figures, or with the reason why there are none."""
    began = time.monotonic()
    bench.notes.clear()
    try:
        cases, broken = tuple(await row.measure(bench)), ""
    except Broken as error:
        cases, broken = (), str(error)
    except Exception as error:  # noqa: BLE001  # the other rows are still worth measuring
        cases, broken = (), f"{type(error).__name__}: {error}"
    notes = {what: median(values) for what, values in bench.notes.items()}
    return Row(name, row.what, cases, broken, notes, time.monotonic() - began)


def about(options: Options) -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],  # of others, at the start
        "machine": platform.machine(),
        "python": platform.python_version(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "stored": options.stored,
        "burst": options.burst,
    }


async def main(options: Options, names: list[str], folder: Path) -> int:
    """Measure the rows one after another; the exit code."""
    console = Console()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    shutil.rmtree(folder / "work", ignore_errors=True)
    (folder / "work").mkdir(parents=True)
    known = about(options)
    if known["load"] > BUSY:
        console.print(f"others use this machine (load {known['load']:.1f}): trust ratios at most")
    rows: list[Row] = []
    with ExitStack() as stack:
        bench = Bench(folder / "work", options, stack)
        for name in names:
            console.print(f"measuring {name} ...", highlight=False)
            rows.append(await measured(name, ROWS[name], bench))
    if not options.keep:
        shutil.rmtree(folder / "work", ignore_errors=True)
    show(rows, console)
    write_json(rows, known, folder)
    charted(rows, folder, console)
    return exit_code(rows)


def charted(rows: list[Row], folder: Path, console: Console) -> None:
    """The charts, where matplotlib is installed: `make bench` sees to that."""
    try:
        from tests.bench.charts import draw
    except ImportError:
        console.print("no charts: matplotlib is not installed")
        return
    files = [*draw(rows, folder), folder / "report.json"]
    console.print("written: " + ", ".join(str(file.relative_to(folder.parent)) for file in files))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*options_of())))
