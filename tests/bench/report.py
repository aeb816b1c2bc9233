"""What was measured, how it stands to its target, and the two ways to read that."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

Bound = Literal["at least", "at most"]
Verdict = Literal["met", "missed", "broken"]
STYLES = {"met": "green", "missed": "yellow", "broken": "red"}


@dataclass(frozen=True)
class Case:
    """One figure of a row, a value per round. Without a yardstick the target is absolute.

    Round n of `yardstick` was measured beside round n of `subject`.
    """

    name: str
    unit: str
    bound: Bound
    target: float
    subject: Sequence[float]
    yardstick: Sequence[float] = ()

    @property
    def figure(self) -> float:
        """What the target is held against: the median of the rounds' ratios or values."""
        if not self.yardstick:
            return median(self.subject)
        return median(s / y for s, y in zip(self.subject, self.yardstick, strict=True))

    @property
    def met(self) -> bool:
        """Whether it is at or beyond its target."""
        return (
            self.figure >= self.target if self.bound == "at least" else self.figure <= self.target
        )

    @property
    def reach(self) -> float:
        """The figure in parts of its target; 1 and more is met, whichever the bound."""
        good, bad = (self.figure, self.target)
        if self.bound == "at most":
            good, bad = bad, good
        return good / bad if bad else float(good >= bad)


@dataclass(frozen=True)
class Row:
    """A line of the table: its cases, or why there are none. `what` says what was measured."""

    name: str
    what: str
    cases: tuple[Case, ...] = ()
    broken: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """A row is as good as the worst of its cases."""
        if self.broken or not self.cases:
            return "broken"
        return "met" if all(case.met for case in self.cases) else "missed"


def exit_code(rows: Sequence[Row]) -> int:
    """A missed target is a result; a row that could not be measured is none."""
    return int(any(row.verdict == "broken" for row in rows))


def as_json(rows: Sequence[Row], about: dict[str, Any]) -> dict[str, Any]:
    """The document in `report.json`."""
    return {"about": about, "rows": [_row(row) for row in rows]}


def _row(row: Row) -> dict[str, Any]:
    found = asdict(row) | {"verdict": row.verdict}
    found["cases"] = [
        asdict(case) | {"figure": case.figure, "met": case.met, "reach": case.reach}
        for case in row.cases
    ]
    return found


def write_json(rows: Sequence[Row], about: dict[str, Any], folder: Path) -> Path:
    """Write `report.json`."""
    path = folder / "report.json"
    path.write_text(json.dumps(as_json(rows, about), indent=1, default=str) + "\n")
    return path


def show(rows: Sequence[Row], console: Console) -> None:
    """The table, and one line for each row that says what was measured."""
    table = Table(title="order-rescue, medians of the rounds")
    for name in ("row", "case", "measured", "yardstick", "figure", "target", "verdict"):
        table.add_column(name, justify="left" if name in ("row", "case", "verdict") else "right")
    for row in rows:
        for place, line in enumerate(lines(row)):
            table.add_row("" if place else row.name, *line)
    console.print(table)
    for row in rows:
        console.print(f"[bold]{row.name}[/]: {row.what}", highlight=False)
        for what, value in row.notes.items():
            console.print(f"  {what}: {number(value)}", highlight=False, markup=False)
        if row.broken:
            console.print(row.broken, style="red", markup=False)


def lines(row: Row) -> list[tuple[str, ...]]:
    """The cells of a row's lines, from the second column on."""
    if not row.cases:
        return [("", "", "", "", "", "[red]broken[/]")]
    return [_line(case, row) for case in row.cases]


def _line(case: Case, row: Row) -> tuple[str, ...]:
    measured = f"{number(median(case.subject))} {case.unit}"
    beside = f"{number(median(case.yardstick))} {case.unit}" if case.yardstick else ""
    verdict = "broken" if row.broken else "met" if case.met else "missed"
    sign = "≥" if case.bound == "at least" else "≤"
    return (
        *(case.name, measured, beside, number(case.figure) + (" x" if case.yardstick else "")),
        *(f"{sign} {number(case.target)}", f"[{STYLES[verdict]}]{verdict}[/]"),
    )


def number(value: float) -> str:
    """Three significant digits, thousands with a separator."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
