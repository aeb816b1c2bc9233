"""Books of the topics: what was acknowledged is stored, what was decided is told. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Taken:
    """Events that were acknowledged, beside what is stored."""

    ways: Mapping[str, int]
    missing: int
    twice: int
    dead: int

    @property
    def right(self) -> bool:
        """All is there once, and nobody has to look at any."""
        return not (self.missing or self.twice or self.dead)

    def line(self) -> str:
        """In one line."""
        ways = ", ".join(f"{way} {number}" for way, number in self.ways.items())
        return (
            f"events acknowledged: {sum(self.ways.values())} ({ways}), missing: {self.missing}, "
            f"twice: {self.twice}, dead letters: {self.dead}"
        )


@dataclass(frozen=True)
class Told:
    """Outcomes that were decided, beside what is on their topic."""

    wanted: int
    missing: int
    out_of_order: int
    repeated: int

    @property
    def right(self) -> bool:
        """Repetitions are allowed: at least once."""
        return not (self.missing or self.out_of_order)

    def line(self) -> str:
        """In one line."""
        return (
            f"outcomes on their topic: {self.wanted - self.missing} of {self.wanted}, "
            f"missing: {self.missing}, out of order: {self.out_of_order}, "
            f"repeated: {self.repeated}"
        )


def taken(acknowledged: Mapping[str, str], stored: Mapping[str, int], dead: int) -> Taken:
    """`acknowledged`: the way of each event by its id; `stored`: how often an id is stored."""
    missing = sum(stored.get(id, 0) == 0 for id in acknowledged)
    twice = sum(stored.get(id, 0) > 1 for id in acknowledged)
    ways = dict(sorted(Counter(acknowledged.values()).items()))
    return Taken(ways, missing, twice, dead)


def told(stored: Mapping[str, tuple[str, int]], read: Sequence[tuple[str, str, int]]) -> Told:
    """`stored`: purchase and sequence by outcome id; `read`: id, purchase, sequence, as they came.

    Out of order is what comes for the first time behind a higher sequence of its purchase: who
    drops what has no higher sequence than the last never sees it. What nobody decided counts too.
    """
    highest: dict[str, int] = defaultdict(int)
    seen: set[str] = set()
    wrong = repeated = 0
    for id, purchase, sequence in read:
        if id in seen:
            repeated += 1
            continue
        wrong += sequence <= highest[purchase] or stored.get(id) != (purchase, sequence)
        highest[purchase] = max(highest[purchase], sequence)
        seen.add(id)
    return Told(len(stored), len(stored.keys() - seen), wrong, repeated)
