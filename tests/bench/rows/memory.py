"""The service's memory through a burst of events, until the last of them is routed."""

from deploy.demo.processes import peak_of
from tests.bench import wrk
from tests.bench.books import drained, events
from tests.bench.load import signed
from tests.bench.report import Case
from tests.bench.stage import Bench
from tests.bench.wrk import Broken

KINDS = ("sqlite", "postgres")
MOST = 250.0  # MB
PATIENCE = 500.0  # seconds; signatures are good for ten minutes


async def memory(bench: Bench) -> list[Case]:
    """The highest resident memory of the process since its start."""
    return [
        Case(
            *(kind, "MB", "at most", MOST),
            [await _peak(bench, kind) for _ in range(bench.options.rounds)],
        )
        for kind in KINDS
    ]


async def _peak(bench: Bench, kind: str) -> float:
    with bench.database(kind) as url:
        async with bench.serving(url) as server:
            load = signed(bench.folder, bench.options.burst)
            seen = await wrk.run(server.url, load, seconds=PATIENCE)
            load.events.unlink()
            if seen.failed or seen.timeouts or not seen.ran_out:
                raise Broken(f"not all of the burst was taken: {seen}")
            await drained(url, PATIENCE)
            peak = peak_of(server.pid)
        if await events(url) < seen.requests:
            raise Broken("an event was acknowledged and is not stored")
    return peak / 1e6
