"""The rate budget's shares: one row for each process that calls the platform (I10).

Rows hold no times. A process counts its own share by its monotonic clock from before it asked;
the others take a row for dead when they saw it unchanged for longer than a share lasts, by theirs.
So no wall clock can be wrong, not even that of a database that another server has taken over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Row, bindparam, delete, func, select

from consumer.store import dialects, marks
from consumer.store.tables import shares

LOCK = 0x627564676574  # the key of the advisory lock under which shares change
PAUSED = "platform_paused"  # the mark before which nobody calls the platform
FLOOR = 1 / 40  # of the rate, for a process that has nothing to do: a shopper may come any time


@dataclass(frozen=True, slots=True)
class Ask:
    """A process asks for its share of `rate`.

    `using` is what it still sends by, until it is answered; `beat` is another number every time.
    """

    replica: str
    beat: int
    rate: float
    using: float
    shoppers: float
    others: float
    pause: datetime | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """Its answer: calls a second, how many share, and until when all pause."""

    rate: float
    replicas: int
    paused: datetime | None


@dataclass
class Silence:
    """Since when each row has been seen unchanged, by a monotonic clock."""

    monotonic: Callable[[], float]
    seconds: float
    seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def dead(self, beats: Mapping[str, int]) -> list[str]:
        """Those who have been silent for too long. The rows must have been read just now."""
        now = self.monotonic()
        for replica, beat in beats.items():
            if self.seen.get(replica, (-1, now))[0] != beat:
                self.seen[replica] = (beat, now)
        self.seen = {replica: self.seen[replica] for replica in beats}
        return [each for each, (_, at) in self.seen.items() if now - at >= self.seconds]


_RENEW = dialects.for_each(
    lambda insert: (new := insert(shares)).on_conflict_do_update(
        index_elements=["replica"],
        set_={name: new.excluded[name] for name in ("rate", "shoppers", "others", "beat")},
    )
)
_ROWS = select(shares)
_LEAVE = delete(shares).where(shares.c.replica == bindparam("gone"))


def renew(connection: Connection, ask: Ask, silence: Silence) -> Share:
    """Renew a share, in a transaction of its own.

    Nobody grows by more than what all others have given up: one that is to shrink counts for what
    it uses until it asks again, having been told. So the rows never sum to more than the rate.
    """
    _one_at_a_time(connection)
    rows = {row.replica: row for row in connection.execute(_ROWS)}
    own = rows.pop(ask.replica, None)
    for replica in silence.dead({replica: row.beat for replica, row in rows.items()}):
        leave(connection, replica)
        del rows[replica]
    using = min(ask.using, own.rate) if own else 0.0
    free = max(0.0, ask.rate - sum(row.rate for row in rows.values()))
    given = min(_fair_share(ask, rows), free)
    told = {"shoppers": ask.shoppers, "others": ask.others, "beat": ask.beat}
    new = {"replica": ask.replica, "rate": max(using, given), **told}
    connection.execute(_RENEW[connection.dialect.name], new)
    if ask.pause:
        marks.advance(connection, PAUSED, ask.pause)
    return Share(given, len(rows) + 1, marks.at(connection, PAUSED))


def leave(connection: Connection, replica: str) -> None:
    """Its share is free again: it sends nothing any more."""
    connection.execute(_LEAVE, {"gone": replica})


def _one_at_a_time(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":  # there is one writer
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


def _fair_share(ask: Ask, rows: Mapping[str, Row]) -> float:  # type: ignore[type-arg]  # of `shares`
    shoppers = {replica: row.shoppers for replica, row in rows.items()}
    others = {replica: row.others for replica, row in rows.items()}
    return fair(
        ask.rate, shoppers | {ask.replica: ask.shoppers}, others | {ask.replica: ask.others}
    )[ask.replica]


def fair(
    rate: float, shoppers: Mapping[str, float], others: Mapping[str, float]
) -> dict[str, float]:
    """What each is to have: a little, then what its shoppers need, then the rest of its needs.

    Who needs less than an equal part has what it needs, the others share equally, and what
    nobody needs is spread, because anybody may need it in a moment.
    """
    floor = min(rate * FLOOR, rate / 2 / len(shoppers))
    shares = dict.fromkeys(sorted(shoppers), floor)
    left = rate - floor * len(shares)
    for wanted in (shoppers, others):
        for place, replica in enumerate(sorted(wanted, key=lambda each: (wanted[each], each))):
            part = min(wanted[replica], left / (len(wanted) - place))
            shares[replica] += part
            left -= part
    return {replica: share + left / len(shares) for replica, share in shares.items()}
