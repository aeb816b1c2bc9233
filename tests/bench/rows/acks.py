"""A webhook until it is acknowledged: how many a second, how evenly, and what too many do."""

from tests.bench import wrk
from tests.bench.books import drained, events
from tests.bench.load import SECRET, Load, signed
from tests.bench.report import Case
from tests.bench.stage import Bench, Server
from tests.bench.wrk import Broken, Seen

WARM = 2.0  # seconds of load before what is measured
MOST = 15_000  # events a second; more than the service takes
KINDS = ("sqlite", "postgres")
PACED = 64  # connections that wait for their slots


async def pushed(
    bench: Bench, server: Server, seconds: float, *, connections: int = 32, rate: float = 0.0
) -> Seen:
    """Unique events for so long; every answer must be a 202."""
    load = signed(bench.folder, int(seconds * (rate * 1.5 if rate else MOST)) + 1000)
    seen = await wrk.run(server.url, load, seconds=seconds, connections=connections, rate=rate)
    load.events.unlink()
    if seen.failed or seen.timeouts or seen.sockets or seen.ran_out:
        raise Broken(f"not all were taken: {seen}")
    return seen


async def ours(bench: Bench, kind: str) -> float:
    """Events a second that the service acknowledges, each stored."""
    with bench.database(kind) as url:
        async with bench.serving(url) as server:
            warm = await pushed(bench, server, WARM)
            async with bench.costing(server, kind, "event") as done:
                seen = await pushed(bench, server, bench.options.seconds)
                await drained(url)  # routing gives way to webhooks, and costs as well
                done.append(seen.requests)
        if await events(url) < warm.requests + seen.requests:
            raise Broken("an event was acknowledged and is not stored")
    return seen.rate


async def theirs(bench: Bench, name: str, *arguments: str) -> float:
    """Events a second that a yardstick acknowledges."""
    seconds = bench.options.seconds
    load = signed(bench.folder, int(4000 * (WARM + seconds)))
    async with bench.yardstick(name, *arguments) as server:
        await wrk.run(server.url, load, seconds=WARM, wrap=True)
        load = signed(bench.folder, load.number) if name != "bare" else load
        seen = await wrk.run(server.url, load, seconds=seconds, wrap=name == "bare")
    _clear(bench)
    if seen.failed or seen.timeouts or seen.sockets or seen.ran_out:
        raise Broken(f"{name}: not all were taken: {seen}")
    return seen.rate


def _clear(bench: Bench) -> None:
    for file in bench.folder.glob("events-*.txt"):
        file.unlink()


async def acks(bench: Bench, kind: str, target: float) -> list[Case]:
    """Beside the bare 202."""
    mine, bare = await bench.rounds(lambda: ours(bench, kind), lambda: theirs(bench, "bare"))
    return [Case(kind, "/s", "at least", target, mine, bare)]


async def typical(bench: Bench) -> list[Case]:
    """Beside what one would write, on the same database."""
    return [await _typical(bench, kind) for kind in KINDS]


async def _typical(bench: Bench, kind: str) -> Case:
    async def usual() -> float:
        with bench.database(kind, migrated=False) as url:
            return await theirs(bench, "typical", url, SECRET)

    mine, other = await bench.rounds(lambda: ours(bench, kind), usual)
    return Case(kind, "/s", "at least", 3.0, mine, other)


async def tail(bench: Bench) -> list[Case]:
    """p99 against the median of the same acks, at half of what was just seen to be the most."""
    return [await _tail(bench, kind) for kind in KINDS]


async def _tail(bench: Bench, kind: str) -> Case:
    p99, p50 = [], []
    for _ in range(bench.options.rounds):
        with bench.database(kind) as url:
            async with bench.serving(url) as server:
                most = await pushed(bench, server, max(WARM, bench.options.seconds / 2))
                await pushed(bench, server, WARM, connections=PACED, rate=most.rate / 2)
                half = await pushed(
                    bench, server, bench.options.seconds, connections=PACED, rate=most.rate / 2
                )
        p99.append(half.p99 * 1000)
        p50.append(half.p50 * 1000)
    return Case(kind, "ms", "at most", 10.0, p99, p50)


LEVELS = (64, 128, 256, 512, 1024)
SLOWEST = 3.0  # seconds; the platform gives up then (PLATFORM §6.3)


async def overload(bench: Bench) -> list[Case]:
    """Four times as many connections as it takes before the service says that it is too much."""
    return [case for kind in KINDS for case in await _overload(bench, kind)]


async def _overload(bench: Bench, kind: str) -> list[Case]:
    refused, slowest, lost = [], [], []
    for _ in range(bench.options.rounds):
        with bench.database(kind) as url:
            async with bench.serving(url) as server:
                acknowledged, enough = await _saturated(bench, server)
                seen = await _stormed(bench, server, 4 * enough, bench.options.seconds)
            kept = await events(url)
        acknowledged += seen.statuses.get("202", 0)
        refused.append(seen.statuses.get("503", 0) / seen.seconds)
        slowest.append(seen.slowest if not seen.timeouts else float(wrk.LONGEST))
        lost.append(float(max(0, acknowledged - kept)))
    return [
        Case(f"{kind}: 503s", "/s", "at least", 1.0, refused),
        Case(f"{kind}: slowest answer", "s", "at most", SLOWEST, slowest),
        Case(f"{kind}: acknowledged, lost", "", "at most", 0.0, lost),
    ]


async def _saturated(bench: Bench, server: Server) -> tuple[int, int]:
    """How many were acknowledged on the way, and the connections with the first 503."""
    acknowledged = 0
    for level in LEVELS:
        seen = await _stormed(bench, server, level, WARM)
        acknowledged += seen.statuses.get("202", 0)
        if seen.statuses.get("503"):
            return acknowledged, level
    return acknowledged, LEVELS[-1]


async def _stormed(bench: Bench, server: Server, connections: int, seconds: float) -> Seen:
    load: Load = signed(bench.folder, int(seconds * MOST * 2))
    seen = await wrk.run(server.url, load, seconds=seconds, connections=connections, statuses=True)
    load.events.unlink()
    if strange := set(seen.statuses) - {"202", "503"}:
        raise Broken(f"answered by {', '.join(sorted(strange))}: {seen}")
    return seen
